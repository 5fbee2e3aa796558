"""What goes out: one module a format."""
