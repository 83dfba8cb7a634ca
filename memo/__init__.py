"""make for data, in Python."""
