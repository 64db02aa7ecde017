"""How a side is found and loaded."""

from parity.sides.loader import STAND_IN, LoadedSide, SideLike, load_side

__all__ = ["STAND_IN", "LoadedSide", "SideLike", "load_side"]
