"""The largest difference that rounding can explain, for each element of each tensor."""

from parity.budget.local import LocalBudget
from parity.budget.overflow import Overflow

__all__ = ["LocalBudget", "Overflow"]
