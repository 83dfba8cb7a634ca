"""What memo costs, beside its peers: workloads, drivers of systems, the report. Start: ``python -m benchmarks``."""
