"""Examples taken out of an array, into memory that TensorFlow can use as it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

LINE = 64  # bytes: TensorFlow's own memory begins at a multiple of this, NumPy's at one of 16


def taken(array: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """`array[rows]`, read-only, beginning at a multiple of `LINE` in writable memory.

    Such memory TensorFlow shares, where it would copy other twice; that it is writable only DLPack asks, which cannot
    say that it is not.
    """
    shape = (*rows.shape, *array.shape[1:])
    size = math.prod(shape) * array.itemsize
    memory = np.empty(size + LINE, np.uint8)
    first = -memory.ctypes.data % LINE
    found = memory[first : first + size].view(array.dtype).reshape(shape)
    np.take(array, rows, axis=0, out=found, mode="clip")  # all are there: another mode has NumPy copy once more
    found.flags.writeable = False
    return found
