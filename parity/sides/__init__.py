"""How a side is found and loaded."""

from parity.sides.loader import LoadedSide, load_side

__all__ = ["LoadedSide", "load_side"]
