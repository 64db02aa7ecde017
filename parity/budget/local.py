"""Budgets of the local lane: one operation, both sides given the reference's own inputs.

Each budget adds the errors of both sides, so a factor 2 stands before most formulas. They are computed from what the
reference recorded and from the experiment alone, so they serve any pair of sides. Zero means that the two must agree to
the last bit: all that is only copied, compared, or made of `+ - * / sqrt` in an order that Keras fixes.

TensorFlow replaces numbers below the smallest normal one (`tiny`) by zero, in operands and in results; NumPy keeps
them. So every operation may also be off by `tiny`, times what its result is then multiplied by.

Shapes: every array has the steps as its first axis; x (steps, batch, inputs), kernel (steps, inputs, units).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from parity.budget.losses import LossBudget, softmax_error
from parity.budget.rounding import ELEMENTARY_ULPS, RSQRT_ROUNDOFFS, gamma, underflow, unit_roundoff
from parity.config import Experiment
from parity.measure import Steps
from parity.protocol import Array, Key, Part, Phase, Records


class Operands:
    """What the reference recorded, for chosen steps of its records.

    Raises:
        KeyError: when something is asked for that the reference did not record.
    """

    def __init__(self, records: Records, rows: Steps) -> None:
        self.records, self.rows = records, rows
        self._all = len(rows) == len(records)
        self._sizes: dict[Key | str, Array] = {}  # several budgets need the same
        self.kept: dict[Key, Array] = {}
        """Budgets that are parts of others."""

    def are(self, records: Records, rows: Steps | None) -> bool:
        """Whether these are the operands of just those steps; None is all of them."""
        same = self._all if rows is None else np.array_equal(self.rows, rows)
        return self.records is records and same

    def __call__(self, phase: Phase, tensor: str, part: Part = "whole") -> Array:
        array = self.records.arrays[Key(phase, tensor, part)]
        return array if self._all else array[self.rows]

    def elements(self, phase: Phase, tensor: str) -> int:
        """How many there are in a step."""
        return math.prod(self.records.arrays[Key(phase, tensor)].shape[1:])

    def size(self, phase: Phase, tensor: str) -> Array:
        """The absolute values."""
        if (found := self._sizes.get(key := Key(phase, tensor))) is None:
            found = self._sizes[key] = np.abs(self(phase, tensor))
        return found

    def size_before(self, tensor: str) -> Array:
        """The absolute values of a weight as it was before each step."""
        if (found := self._sizes.get(tensor)) is None:
            found = self._sizes[tensor] = self._of_before(tensor, np.abs)
        return found

    def size_of_change(self, tensor: str) -> Array:
        """The absolute values of what each step added to a weight."""
        return np.abs(self("update", tensor) - self._of_before(tensor, np.positive))

    def _of_before(self, tensor: str, function: np.ufunc) -> Array:
        after = self.records.arrays[key := Key("update", tensor)]
        found = np.empty((len(self.rows), *after.shape[1:]), after.dtype)
        first = int(self.rows[0] == 0)
        function(after[:-1] if self._all else after[self.rows[first:] - 1], out=found[first:])
        if first:
            function(self.records.before[key], out=found[0])
        return found


class LocalBudget:
    """Budget for each key of a run in the local lane."""

    def __init__(self, experiment: Experiment, precision: str) -> None:
        self.experiment = experiment
        self.layers = {str(layer.name): layer for layer in experiment.layers}
        self.names = list(self.layers)
        self.u = unit_roundoff(precision)
        self.tiny = underflow(precision)
        self.loss = LossBudget(experiment, precision)
        self._operands: Operands | None = None  # of the last budget: the next one's are mostly the same
        self._phases: dict[Phase, Callable[[Key, Operands], Array | float]] = {
            "batch": lambda *_: 0.0,
            "forward": self._forward,
            "loss": self._loss,
            "gradient": self._gradient,
            "update": self._update,
            "metrics": lambda *_: 0.0,
        }

    def of(self, key: Key, records: Records, rows: Steps) -> Array | float | None:
        """The budget of `key` in the chosen steps; None where the reference did not record what it depends on.

        Rounding has no bound where an operand is infinite or not a number: such elements must be the same. Nor has it
        where finite operands may overflow, see `parity.budget.overflow`: of those the budget says the same.
        """
        # Of most of the steps as of all of them: the next budget's are others, and the operands the same.
        of_all = len(rows) > len(records) // 2
        if self._operands is None or not self._operands.are(records, None if of_all else rows):
            self._operands = Operands(records, np.arange(len(records)) if of_all else rows)
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                found = self._phases[key.phase](key, self._operands)
        except KeyError:
            return None
        if np.ndim(found) == 0:  # zero: all others are numbers of steps
            return found
        found = np.asarray(found)
        if of_all and len(rows) != len(records):
            found = found[rows]
        return found if math.isfinite(found.max()) else np.where(np.isfinite(found), found, 0)

    def _once(self, key: Key, of: Operands, budget: Callable[[], Array]) -> Array:
        """What several budgets are made of."""
        if (found := of.kept.get(key)) is None:
            found = of.kept[key] = budget()
        return found

    def _product(self, a: Array, b: Array, added: Array | None = None) -> Array:
        """Both sides' error of `a @ b + added`, given the absolute values: inner products of n terms.

        An operand that is taken for zero loses `tiny` times the other one, a product at most `tiny`.
        """
        inner, lost = a.shape[-1], 2 * self.tiny
        n = inner + (added is not None)
        share = 2 * gamma(n, self.u)
        # Sums as products: NumPy adds up along the first axis of many small matrices several times slower than BLAS.
        # Of parts of the terms, since their sum may overflow where no product does; and `lost` comes last, since each
        # product below the smallest normal number, as those of `lost` itself are, takes some twenty times as long.
        count = 1 << (inner - 1).bit_length()
        part = np.full((1, inner), 1 / count, a.dtype)
        of_b = lost * n + lost * count * (part @ b)
        if a.shape[-2] > inner:  # to take a factor into b, and what a loses, spares two passes over the result
            b = share * b
            b += lost
            found = a @ b
        else:
            found = a @ b
            found *= share
            found += lost * count * (a @ part.mT)
        if added is not None:
            found += share * added
        found += of_b
        return np.asarray(found)

    def input_size(self, layer: str, of: Operands) -> Array:
        """|x| of a layer."""
        at = self.names.index(layer)
        return of.size("batch", "x") if at == 0 else of.size("forward", f"{self.names[at - 1]}/output")

    def _forward(self, key: Key, of: Operands) -> Array | float:
        layer = self.layers[key.layer]
        if key.tensor.endswith("/pre_activation"):  # x @ kernel + bias: inputs products and one more term
            x, kernel = self.input_size(key.layer, of), of.size_before(f"{key.layer}/kernel")
            bias = of.size_before(f"{key.layer}/bias")[:, None, :] if layer.use_bias else None
            return self._product(x, kernel, bias)
        z, a = of("forward", f"{key.layer}/pre_activation"), of.size("forward", key.tensor)
        match layer.activation:
            case "linear" | "relu":
                return 0.0
            case "softmax":
                return 2 * softmax_error(z, self.u) * a + self.tiny
            case name:
                return 2 * self.u * ELEMENTARY_ULPS[name] * a + self.tiny

    def _penalty(self, tensor: str, of: Operands) -> Array:
        """What a regularizer adds to the loss: terms of one sign, so the error is relative to the sum."""
        size, n = (
            np.abs(of("loss", tensor, "penalty")),
            of.elements("forward" if tensor.endswith("/output") else "update", tensor),
        )
        lost = self._lost_by(self._regularizer_of(tensor))
        return np.asarray(2 * (gamma(n, self.u) + 6 * self.u) * size + 2 * (n + 6) * lost)

    def _regularizer_of(self, tensor: str) -> Any:
        layer, _, place = tensor.partition("/")
        return getattr(self.layers[layer], f"{'activity' if place == 'output' else place}_regularizer")

    def _lost_by(self, regularizer: Any) -> float:
        """What is taken for zero before it is multiplied by a factor of the regularizer's, or after that."""
        return self.tiny * max(1.0, float(self._regularizer_gradient(regularizer, np.ones(()))))

    def penalized(self) -> list[str]:
        """What penalties fall on."""
        places = ("kernel", "bias", "activity")
        return [
            f"{name}/{'output' if place == 'activity' else place}"
            for name, layer in self.layers.items()
            for place in places
            if getattr(layer, f"{place}_regularizer") is not None and (place != "bias" or layer.use_bias)
        ]

    def _loss(self, key: Key, of: Operands) -> Array:
        if key.tensor != "loss":
            return self._penalty(key.tensor, of)
        data = self._data_loss(of) if key.part != "penalty" else 0.0
        if key.part == "data":
            return np.asarray(data)
        tensors = self.penalized()
        size = sum((np.abs(of("loss", tensor, "penalty")) for tensor in tensors), np.zeros(len(of.rows)))
        if key.part == "whole":
            size = size + np.abs(of("loss", "loss", "data"))
        parts = sum((self._penalty(tensor, of) for tensor in tensors), np.zeros(len(of.rows)))
        return np.asarray(data + parts + 2 * gamma(len(tensors) + 1, self.u) * size)

    def top(self, of: Operands) -> tuple[Array, Array, Array]:
        """Targets, logits and outputs; the logits are the outputs themselves unless the loss skips the activation."""
        last = self.names[-1]
        p = of("forward", f"{last}/output")
        return of("batch", "y"), of("forward", f"{last}/pre_activation") if self.loss.skips_activation else p, p

    def _data_loss(self, of: Operands) -> Array:
        return self._once(
            Key("loss", "loss", "data"), of, lambda: self.loss.value(*self.top(of), of("loss", "loss", "data"))
        )

    def _regularizer_gradient(self, regularizer: Any, size: Array) -> Array:
        l1, l2 = getattr(regularizer, "l1", 0.0), getattr(regularizer, "l2", 0.0)
        found = np.asarray(2 * l2 * size, size.dtype)
        found += l1
        return found

    def _gradient(self, key: Key, of: Operands) -> Array | float:
        layer = self.layers[key.layer]
        name = key.tensor.partition("/")[2]
        if name == "output":
            return self._output_gradient(key.layer, of)
        if name == "pre_activation":
            return self._delta(key.layer, of)
        regularizer = getattr(layer, f"{name}_regularizer")
        if key.part == "penalty":
            return 0.0 if regularizer is None else self._weight_penalty_gradient(key.tensor, regularizer, of)
        data = self._once(key._replace(part="data"), of, lambda: self._weight_data_gradient(key.layer, name, of))
        if key.part == "data" or regularizer is None:
            return data
        found = data + self._weight_penalty_gradient(key.tensor, regularizer, of)
        of_sum = np.abs(of("gradient", key.tensor))
        of_sum *= 2 * self.u
        found += of_sum
        found += 2 * self.tiny
        return found

    def _weight_data_gradient(self, layer: str, name: str, of: Operands) -> Array:
        """x.T @ dz of a kernel, the sum of dz over the batch of a bias."""
        dz = of.size("gradient", f"{layer}/pre_activation")
        if name == "kernel":
            return self._product(self.input_size(layer, of).mT, dz)
        return np.asarray(2 * gamma(dz.shape[1], self.u) * dz.sum(axis=1) + 2 * dz.shape[1] * self.tiny)

    def _weight_penalty_gradient(self, tensor: str, regularizer: Any, of: Operands) -> Array:
        found = self._regularizer_gradient(regularizer, of.size_before(tensor))
        found *= 2 * 3 * self.u
        found += 6 * self._lost_by(regularizer)
        return found

    def _output_gradient(self, name: str, of: Operands) -> Array:
        """dL/da: from the loss for the last layer, `dz @ kernel.T` of the layer above for the others."""
        if name == self.names[-1]:
            budget = np.zeros(()) if self.loss.skips_activation else self.loss.gradient(*self.top(of))
        else:
            above = self.names[self.names.index(name) + 1]
            dz, kernel = of.size("gradient", f"{above}/pre_activation"), of.size_before(f"{above}/kernel")
            budget = self._product(dz, kernel.mT)
        if (regularizer := self.layers[name].activity_regularizer) is not None:
            a = of.size("forward", f"{name}/output")
            budget = budget + 2 * 5 * self.u * self._regularizer_gradient(regularizer, a) / a.shape[1]
            budget = budget + 2 * self.u * np.abs(of("gradient", f"{name}/output")) + 10 * self._lost_by(regularizer)
        return budget

    def _delta(self, name: str, of: Operands) -> Array | float:
        """dL/dz: `da * activation'(z)`, or from the loss where that skips the activation, or the sum of both."""
        skips = name == self.names[-1] and self.loss.skips_activation
        from_loss = self.loss.gradient(*self.top(of)) if skips else 0.0
        if skips and self.layers[name].activity_regularizer is None:
            return from_loss
        da, dz = (of.size("gradient", f"{name}/{what}") for what in ("output", "pre_activation"))
        a = of.size("forward", f"{name}/output")
        match self.layers[name].activation:
            case "linear" | "relu":
                through: Array | float = 0.0
            case "sigmoid":  # da a (1 - a): 1 - a is exact but for one rounding
                through = 2 * 4 * self.u * da * a * (1 - a) + 4 * self.tiny * (1 + da)
            case "tanh":  # a**2 is rounded before it is taken from 1
                through = 2 * self.u * da * (a * a + 4 * (1 - a * a)) + 4 * self.tiny * (1 + da)
            case "softmax":  # (da - sum da a) a
                inner = da + (da * a).sum(axis=-1, keepdims=True)
                through = 2 * (gamma(a.shape[-1], self.u) + 4 * self.u) * a * inner
                through = through + 4 * self.tiny * (a.shape[-1] + da.sum(axis=-1, keepdims=True))
            case other:
                raise NotImplementedError(f"no bound of the derivative of {other} is written here")
        if isinstance(from_loss, float):
            return through
        return from_loss + through + 2 * self.u * dz + 2 * self.tiny

    def _update(self, key: Key, of: Operands) -> Array | float:
        """Slots and weights from the reference's gradient and slots: to the last bit, but where a root alone divides.

        That is RMSprop's, and Adam's where its epsilon is 0, or taken for it: `a / sqrt(b)` may become `a * rsqrt(b)`.
        """
        weight, _, slot = key.tensor.removeprefix(f"{key.layer}/").partition("/")
        config: Any = self.experiment.optimizer
        if key.layer not in self.layers:
            return 0.0
        divided = not slot or (config.class_name == "RMSprop" and slot == "momentum")
        exact = self._flushed(of("update", key.tensor), config, divided=divided)
        if config.class_name == "Adam" and not slot and config.epsilon < self.tiny:
            rounded = 2 * self.u * of.size("update", key.tensor)  # by the sum: the weight, and what the change tells of
            increment = of.size_of_change(key.tensor) + rounded
            return np.asarray(exact + 2 * (2 + RSQRT_ROUNDOFFS) * self.u * increment + rounded)
        if config.class_name != "RMSprop" or slot in {"velocity", "average_gradient"}:
            return exact
        name = f"{key.layer}/{weight}"
        denominator, off = self.denominator(name, of)
        dividend = np.abs(config.learning_rate * of("gradient", name))
        increment = dividend / np.sqrt(np.maximum(denominator, self.tiny))
        error = 2 * (3 + RSQRT_ROUNDOFFS) * self.u * increment
        largest = 2 * dividend / self.tiny**0.5  # of what is finite; the rest has no bound, see `overflow`
        error = error + np.where(off < 1, ((1 - off) ** -0.5 - (1 + off) ** -0.5) * increment, largest)
        if config.momentum:
            error = error + 2 * self.u * np.abs(of("update", f"{name}/momentum"))
        return np.asarray(exact + (error if slot else error + 2 * self.u * np.abs(of("update", name))))

    def denominator(self, weight: str, of: Operands) -> tuple[Array, Array]:
        """What RMSprop takes the root of, and by which share of it one side may be off: from 1 on, without a bound.

        Centered it is v - a**2 + epsilon, in any order: partial sums, and a**2, as large as v + epsilon, are rounded.
        """
        config: Any = self.experiment.optimizer
        plain = of("update", f"{weight}/velocity") + config.epsilon
        if not config.centered:
            return plain, np.zeros_like(plain)
        centered = plain - of("update", f"{weight}/average_gradient") ** 2
        size = np.maximum(centered, self.tiny)
        return centered, np.where(centered > 0, self.u * (2 * plain + size) / size, np.inf)

    def _flushed(self, after: Array, config: Any, *, divided: bool) -> Array:
        """Zero but for results so small that a flushed term shows in their last bit.

        The at most 8 operations of an update each lose up to `tiny`; on the way to the weight, and to the momentum of
        RMSprop, that is divided by no less than epsilon (Adam) or its root (RMSprop). A sum above 4 lost / u in size is
        rounded back to what it was.
        """
        lost = 8 * self.tiny
        if divided and config.class_name != "SGD":
            divisor = config.epsilon if config.class_name == "Adam" else config.epsilon**0.5
            lost *= 1 + (1 + config.learning_rate) / max(divisor, self.tiny**0.5)
        return np.where(np.abs(after) < 4 * lost / self.u, lost, 0.0)
