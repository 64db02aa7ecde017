"""Where finite operands may overflow on the way to a result.

The model of rounding errors holds only while no number on the way is too large for its type. Where one can be, neither
rounding nor the order of a sum has a bound: one order gives the exact result, another an infinity, a third NaN. So
nothing can be said of what comes out there, as long as the operands themselves are finite. One that is not leaves no
such freedom: of a NaN comes NaN, and of an infinity an infinity or NaN, whatever the order. But where it meets a zero
the product is NaN, or nothing: of some shapes BLAS adds up columns, and passes over those that zeros multiply.

The largest number that any order meets is the sum of the absolute terms (|A||B| for a product). What may be an overflow
is a sum that is one when it is a hundredth larger, which is more than all rounding of it. Not meant here is what has a
fixed order, such as an update of SGD's or Adam's, and what cannot overflow, such as a sigmoid. A centered RMSprop
divides by the root of a difference: where all of that may be rounding, the quotient is any number, an infinity or NaN.
"""

from __future__ import annotations

import numpy as np

from parity.budget.local import LocalBudget, Operands
from parity.budget.losses import EPSILON
from parity.measure import Steps
from parity.protocol import Array, Key, Part, Phase, Records

_MARGIN = 1.01


class _Finite(Operands):
    """Operands that are not finite are NaN, so that an infinity is always an overflow."""

    def __call__(self, phase: Phase, tensor: str, part: Part = "whole") -> Array:
        array = super().__call__(phase, tensor, part)
        return np.where(np.isfinite(array), array, np.nan) if array.dtype.kind == "f" else array

    def size_before(self, tensor: str) -> Array:
        array = super().size_before(tensor)
        return np.where(np.isfinite(array), array, np.nan)


class Overflow:
    """Of each key of a run in the local lane."""

    def __init__(self, budget: LocalBudget) -> None:
        self._budget, self._loss = budget, budget.loss

    def of(self, key: Key, records: Records, rows: Steps) -> Array | bool:
        """Whether each element may overflow in the chosen steps; broadcasts to them."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                return np.asarray(np.isinf(_MARGIN * self.largest(key, records, rows)))
            except KeyError:  # nobody recorded what it depends on: it has no budget either
                return False

    def largest(self, key: Key, records: Records, rows: Steps) -> Array | float:
        """The largest number that may be met on the way to each element, 0 where none can overflow."""
        phases = {
            "forward": self._forward,
            "loss": self._of_loss,
            "gradient": self._gradient,
            "update": self._update,
        }
        return phases[key.phase](key, _Finite(records, rows)) if key.phase in phases else 0.0

    def _forward(self, key: Key, of: Operands) -> Array | float:
        if key.tensor.endswith("/output"):
            return 0.0
        size = _product(self._budget.input_size(key.layer, of), of.size_before(f"{key.layer}/kernel"))
        if self._budget.layers[key.layer].use_bias:
            size = size + of.size_before(f"{key.layer}/bias")[:, None, :]
        return size

    def _of_loss(self, key: Key, of: Operands) -> Array | float:
        if key.tensor != "loss":
            return self._penalty(key.tensor, of)
        size = self._data_loss(of) if key.part != "penalty" else 0.0
        return sum((self._penalty(tensor, of) for tensor in self._budget.penalized() if key.part != "data"), size)

    def _penalty(self, tensor: str, of: Operands) -> Array:
        """The sum before lambda, or the number of examples, makes it smaller."""
        layer, _, place = tensor.partition("/")
        w = of.size("forward", tensor) if place == "output" else of.size_before(tensor)
        place = "activity" if place == "output" else place
        squared = getattr(getattr(self._budget.layers[layer], f"{place}_regularizer"), "l2", 0.0)
        return np.asarray((w * w if squared else w).reshape(len(w), -1).sum(axis=-1))

    def _data_loss(self, of: Operands) -> Array:
        y, z, p = self._budget.top(of)
        if self._loss.squares:
            each = np.square(p - y)
        elif self._loss.from_logits:  # differences of logits, and their products with targets
            largest = 1.0 if y.dtype.kind in "iu" else np.abs(y).max()
            each = (np.abs(z) + np.abs(z).max(axis=-1, keepdims=True)) * (1 + largest)
        else:
            each = self._quotients(p)
        return np.asarray(each.sum(axis=(-2, -1)))

    def _quotients(self, p: Array) -> Array:
        """Of probabilities that are made to sum to 1, and of the clipped ones their logarithms are taken of."""
        if self._loss.name != "CategoricalCrossentropy":
            return 0 * p  # at most a constant
        total = p.sum(axis=-1, keepdims=True)
        return np.abs(p).sum(axis=-1, keepdims=True) / np.abs(total) / np.abs(total) / EPSILON

    def _gradient(self, key: Key, of: Operands) -> Array | float:
        layer, name = self._budget.layers[key.layer], key.tensor.partition("/")[2]
        if name == "output":
            return self._output_gradient(key.layer, of)
        if name == "pre_activation":
            da, a = of.size("gradient", f"{key.layer}/output"), of.size("forward", f"{key.layer}/output")
            softmax = layer.activation == "softmax"
            return da + (da * a).sum(axis=-1, keepdims=True) if softmax else da
        w = 2 * of.size_before(key.tensor) if getattr(layer, f"{name}_regularizer") is not None else 0.0
        if key.part == "penalty":
            return w
        dz = of.size("gradient", f"{key.layer}/pre_activation")
        data = _product(self._budget.input_size(key.layer, of).mT, dz) if name == "kernel" else dz.sum(axis=1)
        return data if key.part == "data" else data + w

    def _output_gradient(self, name: str, of: Operands) -> Array | float:
        activity: Array | float = 0.0
        if self._budget.layers[name].activity_regularizer is not None:
            activity = 2 * of.size("forward", f"{name}/output")
        names = self._budget.names
        if name == names[-1]:
            if self._loss.skips_activation:
                return activity
            y, _, p = self._budget.top(of)
            return (2 * np.abs(p - y) if self._loss.squares else self._quotients(p)) + activity
        above = names[names.index(name) + 1]
        dz, kernel = of.size("gradient", f"{above}/pre_activation"), of.size_before(f"{above}/kernel")
        return _product(dz, kernel.mT) + activity

    def _update(self, key: Key, of: Operands) -> Array | float:
        """Infinite where a centered RMSprop may divide by nothing."""
        weight, _, slot = key.tensor.removeprefix(f"{key.layer}/").partition("/")
        divided = self._budget.experiment.optimizer.class_name == "RMSprop" and slot in {"", "momentum"}
        if not divided:
            return 0.0
        _, off = self._budget.denominator(f"{key.layer}/{weight}", of)
        return np.where(off < 1, off, np.inf)


def _product(a: Array, b: Array) -> Array:
    """|A||B|, infinite where what is not finite, which is NaN here, meets a zero."""
    met = (np.isnan(a).astype(a.dtype) @ (b == 0)) + ((a == 0).astype(a.dtype) @ np.isnan(b))
    return np.where(met > 0, np.inf, a @ b)
