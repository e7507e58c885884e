"""Figures, each a ratio against a peer or a limit on the same machine in the same run: see docs/benchmarks.md."""
