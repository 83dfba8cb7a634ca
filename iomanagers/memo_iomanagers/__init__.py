"""IO managers: where outputs live."""
