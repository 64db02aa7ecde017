"""Hostile input: mutated traces and experiments, and recordings killed half way. `python -m parity.fuzz`."""
