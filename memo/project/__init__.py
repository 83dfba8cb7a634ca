"""Assemble: settings, home, families and the engine, into what the doors call."""
