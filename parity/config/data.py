"""Which examples the networks are trained on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Tag

from parity.config.base import Count, Frozen, NonNegative, Positive, plain
from parity.config.numbers import FileName, Listed, Values, is_list, told_apart

Classes = Annotated[Count, Field(ge=2)]


def _column(given: Any) -> str | None:
    if isinstance(given, bool):
        return None
    return "name" if isinstance(given, str) else "position" if isinstance(given, int) else None


_COLUMNS = "a column by its name or its position, or a list of these"
Column = Annotated[
    Annotated[str, Tag("name")] | Annotated[int, Tag("position")],
    told_apart(_column, _COLUMNS),
    BeforeValidator(plain),
]
Columns = Annotated[
    Annotated[Column, Tag("column")] | Annotated[Listed[Column], Field(min_length=1), Tag("columns")],
    told_apart(lambda given: "columns" if is_list(given) else "column", _COLUMNS),
]


class _Source(Frozen):
    """What every source offers once its arrays are read."""

    samples: Count | None = None
    """Use only the first so many examples."""
    scale: Positive = 1.0
    """Inputs are divided by this: 255 for bytes, 16 for the UCI digits."""
    one_hot: Classes | None = None
    """Turn integer labels into one-hot rows of this many classes."""


class Digits(_Source):
    """The UCI handwritten digits that ship with the package: 1,797 images of 8x8, values 0 to 16."""

    source: Literal["digits"]


class Mnist(_Source):
    """MNIST from a folder or file given here, from $PARITY_MNIST, or from Keras' own cache; npz or idx(.gz)."""

    source: Literal["mnist"]
    path: FileName | None = None
    split: Literal["train", "test"] = "train"


class Npz(_Source):
    source: Literal["npz"]
    path: FileName
    x: str = "x"
    """Name of the input array in the file."""
    y: str = "y"


class Csv(_Source):
    """A table with a header line; every column that is not a target is an input."""

    source: Literal["csv"]
    path: FileName
    target: Columns
    """Target columns, by name or by position."""


class Arrays(_Source):
    """Numbers written in the experiment itself."""

    source: Literal["arrays"]
    x: Values
    y: Values


class Regression(_Source):
    """Generated: x ~ N(0, 1), y = x @ a + b + noise * N(0, 1), with a and b ~ N(0, 1)."""

    source: Literal["regression"]
    samples: Count = 256
    features: Count
    targets: Count = 1
    noise: NonNegative = 0.1
    seed: Annotated[int, Field(ge=0)] = 0


class Classification(_Source):
    """Generated: one normal cloud a class, centres ~ 2 N(0, 1); labels are integers."""

    source: Literal["classification"]
    samples: Count = 256
    features: Count
    classes: Classes
    seed: Annotated[int, Field(ge=0)] = 0


class Memory(_Source):
    """Arrays handed over in Python, as in `parity.diff(experiment, x, y)`; no file can name them."""

    source: Literal["memory"]


Data = Annotated[
    Digits | Mnist | Npz | Csv | Arrays | Regression | Classification | Memory,
    Field(discriminator="source"),
]
