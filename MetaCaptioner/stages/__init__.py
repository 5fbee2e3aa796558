"""What is more than a command: second pass, resampling, the table of an evaluation, the filter."""
