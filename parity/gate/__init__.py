"""The gate: candidates held against what the reference did once, recorded in baselines, without the reference."""
