"""One record a sample: write, recover, read, which are done. The only place that opens result files."""
