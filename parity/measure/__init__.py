"""How far apart two arrays are, element by element, one row of measures for each step.

All measures of a tensor are taken in one pass over blocks that fit the processor's cache, so that measuring costs
little more than reading. Nothing is averaged before it is compared: means and sums hide what single elements show.

    absolute   |c - r|
    relative   |c - r| / |r|; infinite where r = 0 and c != 0, zero where both are 0
    ulp        |c - r| / (distance from |r| to the next larger number of its dtype)
    rms        sqrt(mean (c - r)**2)
    cosine     <r, c> / (|r| |c|); 1 where both are zero, 0 where one is
    used       |c - r| / budget; infinite where the budget is 0 and c != r

A NaN or an infinity agrees with nothing that is not the same NaN or infinity, and even then it is counted apart
(`nonfinite_both`): nobody may take it for agreement. Where the two differ there, the difference is infinite and the
cosine 0.

Which of nearly equal elements is the largest is decided in the dtype of the tensor; what is said of it is computed in
float64.
"""

from __future__ import annotations

from parity.measure.equal import identical
from parity.measure.measuring import Budget, measure, measure_all
from parity.measure.share import used_of_each
from parity.measure.table import MEASURES, Largest, Rows, Steps, largest, largest_of_each, words

__all__ = [
    "MEASURES",
    "Budget",
    "Largest",
    "Rows",
    "Steps",
    "identical",
    "largest",
    "largest_of_each",
    "measure",
    "measure_all",
    "used_of_each",
    "words",
]
