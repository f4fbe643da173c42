"""What leaves the program: one module a format, with a function from an `EventBatch` or a snapshot to that format."""
