"""What is more than a command: second pass, resampling, the filter."""
