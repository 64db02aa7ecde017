"""Examples taken out of an array are those of its rows, in memory that nobody may write and TensorFlow can share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from parity.data import taken
from parity.data.taken import LINE


@given(
    st.sampled_from(["f4", "f8", "i8", "u1", "?"]).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(max_dims=3, max_side=5))
    ),
    st.data(),
)
def test_rows_are_those_of_the_array(array, data):
    shape = data.draw(arrays.array_shapes(max_dims=2, max_side=6))
    rows = data.draw(arrays.arrays(np.int64, shape, elements=st.integers(0, len(array) - 1)))
    found = taken(array, rows)
    assert found.dtype == array.dtype
    assert found.shape == (*shape, *array.shape[1:])
    assert found.tobytes() == array[rows].tobytes()
    assert found.ctypes.data % LINE == 0
    assert found.base.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        found[...] = 0
