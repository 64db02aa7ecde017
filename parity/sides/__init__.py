"""How a side is found and loaded."""

from parity.sides.loader import BUILT_IN, STAND_IN, LoadedSide, SideLike, load_side, made_with, read_model, stand_in_for

__all__ = ["BUILT_IN", "STAND_IN", "LoadedSide", "SideLike", "load_side", "made_with", "read_model", "stand_in_for"]
