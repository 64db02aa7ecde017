"""How a side is found and loaded."""

from parity.sides.loader import BUILT_IN, STAND_IN, LoadedSide, load_side

__all__ = ["BUILT_IN", "STAND_IN", "LoadedSide", "load_side"]
