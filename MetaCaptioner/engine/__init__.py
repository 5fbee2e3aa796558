"""Request in, completion out. The only place that knows an inference library."""
