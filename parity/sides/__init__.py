"""How a side is found and loaded."""

from parity.sides.loader import BUILT_IN, STAND_IN, LoadedSide, SideLike, load_side, read_model

__all__ = ["BUILT_IN", "STAND_IN", "LoadedSide", "SideLike", "load_side", "read_model"]
