"""The workers' code, a module per side."""
