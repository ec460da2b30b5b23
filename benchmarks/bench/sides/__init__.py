"""What runs in the workers: a module for each side."""
