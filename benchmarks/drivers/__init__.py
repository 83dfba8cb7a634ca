"""One module a system: writes that system's pipeline for a neutral graph, and says how to run it."""
