"""Measurements of facealike; run one from the root, as ``python -m benchmarks.speed.cold_start``."""
