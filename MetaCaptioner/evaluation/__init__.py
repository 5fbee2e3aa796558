"""What an answer to a question is worth: the published rules of benchmarks, each with its source."""
