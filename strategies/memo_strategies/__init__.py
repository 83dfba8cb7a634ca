"""Family 2, version strategies: what counts as "the same code". `source_hash` is the door."""
