"""Budgets of each loss and of its gradient, given the targets y and what the last layer put out.

p (steps, batch, outputs) are the outputs, z the numbers before the last activation. B is the batch, C the outputs.
"""

from __future__ import annotations

import numpy as np

from parity.budget.rounding import ELEMENTARY_ULPS, gamma, underflow, unit_roundoff
from parity.config import Experiment
from parity.protocol import Array

EPSILON = 1e-7  # keras.config.epsilon()
_CROSSENTROPIES = {"CategoricalCrossentropy", "SparseCategoricalCrossentropy", "BinaryCrossentropy"}


def _shifted(z: Array) -> tuple[Array, Array]:
    """z minus its largest, and the softmax; 0 times a difference that overflows is to be 0."""
    s = np.maximum(z - z.max(axis=-1, keepdims=True), np.finfo(z.dtype).min)
    e = np.exp(s)
    return s, e / e.sum(axis=-1, keepdims=True)


def _cancelled(p: Array, total: Array) -> Array:
    """How much larger the terms of a sum are than the sum: 1 where all have one sign."""
    return np.asarray(np.abs(p).sum(axis=-1, keepdims=True) / np.abs(total))


def softmax_error(z: Array, u: float) -> Array:
    """Relative error of one computed softmax: of exp(z - max), of the sum of them, and of the division.

    Rounding z - max by a relative u changes exp by |z - max| u, in the numerator and, weighted, in the sum.
    """
    s, p = _shifted(z)
    shift = np.abs(s) + (p * np.abs(s)).sum(axis=-1, keepdims=True)
    return np.asarray(u * (shift + 2 * 2 * ELEMENTARY_ULPS["exp"] + 2) + gamma(z.shape[-1], u))


class LossBudget:
    """Budgets of one experiment's loss."""

    def __init__(self, experiment: Experiment, precision: str) -> None:
        self.name = experiment.loss.class_name
        self.u, self.tiny = unit_roundoff(precision), underflow(precision)
        self.squares = self.name in {"MeanSquaredError", "SumSquaredError"}
        self.smoothing = getattr(experiment.loss, "label_smoothing", 0.0)
        # Keras takes any cross-entropy from what goes into a last softmax or sigmoid, whatever from_logits says.
        self.skips_activation = self.name in _CROSSENTROPIES and experiment.layers[-1].activation in {
            "softmax",
            "sigmoid",
        }
        self.from_logits = self.skips_activation or getattr(experiment.loss, "from_logits", False)

    def _targets(self, y: Array, like: Array) -> Array:
        if self.name == "SparseCategoricalCrossentropy":
            return np.eye(like.shape[-1], dtype=like.dtype)[y]
        if self.name == "CategoricalCrossentropy":
            return np.asarray(y * (1 - self.smoothing) + self.smoothing / like.shape[-1])
        return np.asarray(y * (1 - self.smoothing) + 0.5 * self.smoothing)

    def value(self, y: Array, z: Array, p: Array, computed: Array) -> Array:
        """Budget of the data loss, shape (steps,)."""
        u, batch, outputs = self.u, p.shape[1], p.shape[2]
        if self.squares:  # all terms positive: relative to the sum
            relative = gamma(outputs, u) + gamma(batch, u) + 6 * u
            return np.asarray(2 * relative * computed + 4 * outputs * self.tiny)
        y = self._targets(y, p)
        match self.name:
            case "BinaryCrossentropy":
                error, size = self._binary(y, z, p)
            case "CategoricalCrossentropy" | "SparseCategoricalCrossentropy":
                error, size = self._categorical(y, z, p)
            case other:
                raise NotImplementedError(f"no bound of {other} is written here")
        # the mean over the batch of the errors, and what taking that mean adds
        found = error.mean(axis=-1) + (gamma(batch, u) + u) * size.mean(axis=-1)
        return np.asarray(2 * found + 4 * outputs * self.tiny)

    def _categorical(self, y: Array, z: Array, p: Array) -> tuple[Array, Array]:
        """Error and size of `sum_c y_c l_c` for each example, with l = -log softmax(z) or -log q."""
        u, outputs, y = self.u, p.shape[-1], np.abs(y)
        exp, log = 2 * u * ELEMENTARY_ULPS["exp"], 2 * u * ELEMENTARY_ULPS["log"]
        given: Array | float = 0.0
        if not self.from_logits and self.name == "CategoricalCrossentropy":
            total = p.sum(axis=-1, keepdims=True)
            q = np.clip(p / total, EPSILON, 1 - EPSILON)
            each = np.abs(np.log(q))
            of_log = gamma(outputs, u) * _cancelled(p, total) + 2 * u + log * each
        else:
            if not self.from_logits:  # the sparse loss takes log(p) for logits
                z = np.log(np.clip(p, EPSILON, 1 - EPSILON))
                given = log * np.abs(z)
                given = given + (np.exp(z) * given).sum(axis=-1, keepdims=True)
            s, soft = _shifted(z)
            log_sum = -np.log(soft.max(axis=-1, keepdims=True))
            each = np.abs(log_sum - s)
            of_sum = exp + gamma(outputs, u) + u * (soft * np.abs(s)).sum(axis=-1, keepdims=True)
            of_log = of_sum + log * log_sum + u * np.abs(s) + given
        error = (y * (of_log + 6 * u * each)).sum(axis=-1)
        size = (y * each).sum(axis=-1)
        return error + gamma(outputs, u) * size, size

    def _binary(self, y: Array, z: Array, p: Array) -> tuple[Array, Array]:
        u, outputs = self.u, p.shape[-1]
        if self.from_logits:
            tail = np.log1p(np.exp(-np.abs(z)))
            each = np.abs(z) + np.abs(z * y) + tail
            error = 2 * u * ELEMENTARY_ULPS["log1p"] * tail + 2 * u * ELEMENTARY_ULPS["exp"] * np.exp(-np.abs(z))
        else:
            q = np.clip(p, EPSILON, 1 - EPSILON)
            each = np.abs(y * np.log(q)) + np.abs((1 - y) * np.log(1 - q))
            error = 2 * u * ELEMENTARY_ULPS["log"] * each + 2 * u
        size = each.mean(axis=-1)
        return (error + 6 * u * each).mean(axis=-1) + (gamma(outputs, u) + u) * size, size

    def gradient(self, y: Array, z: Array, p: Array) -> Array:
        """Budget of dL/dz where the loss takes the logits, of dL/dp otherwise; (steps, batch, outputs)."""
        u, batch, outputs = self.u, p.shape[1], p.shape[2]
        if self.squares:
            terms = batch * outputs if self.name == "MeanSquaredError" else batch
            return np.asarray(2 * 7 * u * np.abs(p - y) * (2 / terms) + 4 * self.tiny)
        y = self._targets(y, p)
        if self.name == "BinaryCrossentropy":
            return self._binary_gradient(y, p, batch * outputs)
        if self.from_logits:
            _, soft = _shifted(z)
            total = np.abs(y).sum(axis=-1, keepdims=True)
            error = (softmax_error(z, u) + gamma(outputs, u)) * soft * total
            error = error + u * (4 * np.abs(y) + 3 * np.abs(soft * total - y))
            return np.asarray(2 * error / batch + 4 * self.tiny)
        if self.name == "CategoricalCrossentropy":
            total = p.sum(axis=-1, keepdims=True)
            q = p / total
            dq = np.abs(y) / np.clip(q, EPSILON, 1 - EPSILON)
            size = dq + (dq * np.abs(q)).sum(axis=-1, keepdims=True)
            relative = 2 * gamma(outputs, u) * _cancelled(p, total) + 10 * u
            return np.asarray(2 * relative * size / np.abs(total) / batch + 4 * self.tiny / np.abs(total))
        kept = np.clip(p, EPSILON, 1 - EPSILON)
        _, soft = _shifted(np.log(kept))
        relative = softmax_error(np.log(kept), u) + 2 * 2 * u * ELEMENTARY_ULPS["log"] * np.abs(np.log(kept))
        return np.asarray(2 * (relative * soft + 6 * u * (y + soft)) / kept / batch + 4 * self.tiny / kept)

    def _binary_gradient(self, y: Array, p: Array, terms: int) -> Array:
        u = self.u
        if self.from_logits:  # TensorFlow differentiates the three terms of the loss, each at most 1 in size
            return np.asarray(2 * u * (2 * ELEMENTARY_ULPS["exp"] + 8) * (1 + np.abs(y)) / terms + 4 * self.tiny)
        q = np.clip(p, EPSILON, 1 - EPSILON)
        return np.asarray(2 * 8 * u * (np.abs(1 - y) / (1 - q) + np.abs(y) / q) / terms + 4 * self.tiny / EPSILON)
