"""The largest difference that rounding can explain, for each element of each tensor."""

from parity.budget.local import LocalBudget

__all__ = ["LocalBudget"]
