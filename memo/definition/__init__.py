"""Define: ops, graphs, jobs, resources, config, as checked and frozen values."""
