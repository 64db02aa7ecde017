"""Is what a side calls its gradient the derivative of what it calls its loss? Asked by differences, in float64.

A side is started at weights of which one element w was moved by h, and its loss L is read before its update:

    D(h) = (L(w + h) - L(w - h)) / (2 h) = L' + h**2/6 L''' + O(h**4)

Truncation: a step r times as large errs by r**2 times as much, so `|D(r h) - D(h)| / (r**2 - 1)` estimates
`h**2/6 |L'''|` (Richardson). Where L'' jumps at w (a relu on its kink, the loss at its minimum) the error is of first
order, and the estimate has `r - 1` below. That larger one is taken, twice, so that it holds while terms of higher order
change it by less than half. Steps too large for the law are held to it all the same: no estimate is taken for smaller
than the one at r h divided by r**2, lest two wrong slopes agree by chance.

Rounding: each L errs by some e, so D by up to `e / h`. For a well conditioned loss e is `u |L|`; cancellation inside
makes it larger by a factor that nobody outside knows, so it is also measured: at the smallest steps that change L at
all, rounding is what is left of `|D(h) - D(r h)| h`, and its median over all elements tried is a typical e. Eight times
that is allowed, as for sums (parity.budget.rounding). The gradient's own rounding is measured by how far its values at
the smallest steps to one side are from a straight line.

The sum of the two is smallest near h = (3 e / |L'''|)**(1/3). L''' is not known beforehand, so a ladder of steps is
tried and the one with the smallest bound is taken. Steps are powers of two and weights are first rounded to float32:
w + h and w - h are then exact.

At a kink (relu at 0, l1 at 0) there is no derivative to compare with: where the slopes to the left and to the right
differ by more than their own bounds, an element is called not differentiable, not wrong. A kink at a distance d < h,
where the slope jumps by J, turns D(h) by `J (h - d) / (2 h)`. It also parts the slopes right and left, S(h) = h L'' +
O(h**3), by `J (h - d) / h`: so what S(h) has more than S(r h) / r or than S(r**2 h) / r**2 is added to the bound. For
every d one of the two is larger than the turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np

from parity.budget.rounding import CONFIDENCE, unit_roundoff
from parity.config import Experiment
from parity.data import Dataset, Schedule
from parity.errors import SideError
from parity.protocol import Array, Key, execution_order, keyed
from parity.sides import LoadedSide

ELEMENTS = 8  # of each tensor
WALK = 8  # steps in which a gradient that is not zero is looked for
RATIO = 8.0
LADDER = RATIO ** -np.arange(1.0, 11.0)  # 2**-3, 2**-6, ..., 2**-30
_FINEST = 3  # rungs on which rounding is measured
_U = unit_roundoff("float64")
_NORMAL = 1.4826  # standard deviation over median of |x|, for normal x

Role = Literal["reference", "candidate"]


class Outcome(StrEnum):
    AGREES = "agrees"
    NOT_DIFFERENTIABLE = "not differentiable"
    WRONG = "wrong"


@dataclass(frozen=True)
class Element:
    """One element of a weight, its gradient as the side says it and as its loss has it."""

    tensor: str
    step: int
    index: tuple[int, ...]
    analytic: float
    numeric: float
    bound: float
    """The largest difference that truncation and rounding explain."""
    h: float
    left: float
    right: float
    """Slopes to either side of w."""
    outcome: Outcome

    @property
    def error(self) -> float:
        return abs(self.analytic - self.numeric)

    @property
    def used(self) -> float:
        return self.error / self.bound if self.error else 0.0

    @property
    def name(self) -> str:
        """`dense_1/kernel[3,4]`."""
        return f"{self.tensor}[{','.join(map(str, self.index))}]"


@dataclass(frozen=True)
class SideCheck:
    """One side's gradient against its own loss."""

    role: Role
    side: str
    elements: tuple[Element, ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()
    """How many elements each checked tensor has."""
    why_not: str = ""
    """Why the side took no part."""

    def of(self, outcome: Outcome) -> list[Element]:
        return [element for element in self.elements if element.outcome is outcome]

    @property
    def worst(self) -> Element | None:
        """Of the wrong ones, else of those that agree, the one furthest out."""
        among = self.of(Outcome.WRONG) or self.of(Outcome.AGREES)
        return max(among, key=lambda element: element.used, default=None)


@dataclass(frozen=True)
class GradCheck:
    """What was checked, of which sample."""

    seed: int
    elements_per_tensor: int
    sides: tuple[SideCheck, ...]


class _NoPartError(Exception):
    """A side cannot be checked; the message says why."""


@dataclass(frozen=True)
class _Place:
    """Where a gradient is checked: the weights before a step, and its batch."""

    step: int
    weights: Mapping[str, Array]
    x: Array
    y: Array

    def moved(self, tensor: str, index: tuple[int, ...], h: float) -> _Place:
        weights = {name: array.copy() for name, array in self.weights.items()}
        weights[tensor][index] += h
        return _Place(self.step, weights, self.x, self.y)


@dataclass(frozen=True)
class _Tried:
    """One element on every rung: losses (rungs,) to the left and right, and around what they are taken."""

    place: _Place
    tensor: str
    index: tuple[int, ...]
    loss: float
    gradient: float
    left: Array
    right: Array
    gradient_noise: float
    """How far the gradients on the smallest steps are from a straight line, on the better side of w."""

    @property
    def slopes(self) -> Array:
        return (self.right - self.left) / (2 * LADDER)

    @property
    def resolved(self) -> Array:
        """The rungs that change the loss: a side in float32 does not see the smallest ones."""
        seen = (self.left != self.loss) | (self.right != self.loss)
        return seen if seen.any() else ~seen

    @property
    def noise(self) -> Array:
        """What rounding makes of the difference of two losses, on the smallest steps."""
        return (np.abs(np.diff(self.slopes)) * LADDER[1:])[self.resolved[1:]][-_FINEST:]


def check_gradients(
    experiment: Experiment,
    sides: tuple[LoadedSide, LoadedSide],
    dataset: Dataset,
    weights: Mapping[str, Array],
) -> GradCheck:
    """Check a sample of each side's gradient against its own loss, at the first step where it is not zero.

    Args:
        experiment: what is trained; its seed also draws the sample.
        sides: reference and candidate; both are started anew many times.
        dataset: in float64.
        weights: what both start from, in float64.

    Raises:
        SideError: a side raised.
    """
    roles: tuple[Role, Role] = ("reference", "candidate")
    checks = []
    for role, side in zip(roles, sides, strict=True):
        try:
            checks.append(_check(role, _Asked(experiment, side), dataset, weights))
        except _NoPartError as why:
            checks.append(SideCheck(role, side.name, why_not=str(why)))
    return GradCheck(experiment.seed, ELEMENTS, tuple(checks))


@dataclass(frozen=True)
class _Asked:
    """A side that is asked for its loss and gradient at given weights."""

    experiment: Experiment
    side: LoadedSide

    def start(self, weights: Mapping[str, Array]) -> None:
        if self.side.can("spans"):
            msg = "it was recorded, and cannot be asked for its loss at other weights"
            raise _NoPartError(msg)
        self._call("start", self.experiment, {name: array.copy() for name, array in weights.items()})

    def step(self, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
        """The loss before the update, and the gradient of each weight."""
        said = self._call("step", x.copy(), y.copy())
        if not isinstance(said, Mapping):
            msg = "step returns a loss alone, without a gradient"
            raise _NoPartError(msg)
        try:
            found = keyed(said, self.experiment.layer_names[-1])
        except ValueError as error:
            msg = f"{self.side.name} in the gradient check: {error}"
            raise SideError(msg) from None
        gradients = {
            key.tensor: np.array(array, np.float64)
            for key, array in found.items()
            if key.phase == "gradient" and key.part == "whole"
        }
        if (loss := found.get(Key("loss", "loss"))) is None or not gradients:
            msg = f"step does not say {'its gradient' if loss is not None else 'its loss'}"
            raise _NoPartError(msg)
        return float(loss), gradients

    def weights(self) -> dict[str, Array]:
        said = self._call("weights")
        if not isinstance(said, Mapping):
            got = type(said).__name__
            msg = f"{self.side.name} in the gradient check: weights() returned {got}; expected name -> array"
            raise SideError(msg)
        return {name: np.array(array, np.float64) for name, array in said.items()}

    def at(self, place: _Place) -> tuple[float, dict[str, Array]]:
        self.start(place.weights)
        return self.step(place.x, place.y)

    def _call(self, method: str, *arguments: object) -> object:
        try:
            return getattr(self.side.side, method)(*arguments)
        except (Exception, SystemExit) as error:  # whatever a stranger's code raises
            raise SideError.raised(self.side.name, f"in {method} in the gradient check", error) from error


def _check(role: Role, asked: _Asked, dataset: Dataset, weights: Mapping[str, Array]) -> SideCheck:
    tried: list[_Tried] = []
    sizes = []
    random = np.random.default_rng(asked.experiment.seed)
    for tensor, place in _places(asked, dataset, weights).items():
        loss, gradients = asked.at(place)
        if not np.isfinite(loss):
            continue
        if asked.at(place)[0] != loss:
            msg = "started twice at the same weights it says two losses"
            raise _NoPartError(msg)
        gradient = gradients[tensor]
        sizes.append((tensor, gradient.size))
        tried += [_climb(asked, place, tensor, index, loss, gradient) for index in _sample(random, gradient)]
    if not tried:
        msg = "its loss is not finite, or it says no gradient of a weight"
        raise _NoPartError(msg)
    noise = _typical(np.concatenate([one.noise for one in tried]))
    gradient_noise = _typical(np.array([one.gradient_noise for one in tried]))
    return SideCheck(role, asked.side.name, tuple(_judged(one, noise, gradient_noise) for one in tried), tuple(sizes))


def _places(asked: _Asked, dataset: Dataset, weights: Mapping[str, Array]) -> dict[str, _Place]:
    """Each weight with the first step at which its gradient is not zero; where it always is, the last one looked at."""
    found: dict[str, _Place] = {}
    missing: dict[str, _Place] = {}
    asked.start(weights)
    before = dict(weights)
    for step, x, y in _batches(asked.experiment, dataset):
        _, gradients = asked.step(x, y)
        rounded = {name: array.astype(np.float32).astype(np.float64) for name, array in before.items()}
        place = _Place(step, rounded, x, y)
        for tensor in weights:
            if tensor in gradients and gradients[tensor].shape == weights[tensor].shape and tensor not in found:
                (found if gradients[tensor].any() else missing)[tensor] = place
        if found.keys() >= weights.keys():
            break
        before = asked.weights()
    together = missing | found
    keys = execution_order([Key("gradient", tensor) for tensor in together], asked.experiment.layer_names)
    return {key.tensor: together[key.tensor] for key in keys}


def _batches(experiment: Experiment, dataset: Dataset) -> Iterator[tuple[int, Array, Array]]:
    for chunk in Schedule.of(experiment, len(dataset)).chunks(1):
        if chunk.first_step > WALK:
            return
        yield chunk.first_step, dataset.x[chunk.rows[0]], dataset.y[chunk.rows[0]]


def _sample(random: np.random.Generator, gradient: Array) -> list[tuple[int, ...]]:
    """All elements where they are few; else the one with the largest gradient and others at random."""
    largest = int(np.abs(gradient).argmax())
    others = np.delete(np.arange(gradient.size), largest)
    chosen = [largest, *random.permutation(others)[: ELEMENTS - 1].tolist()]
    return [tuple(int(at) for at in np.unravel_index(flat, gradient.shape)) for flat in sorted(chosen)]


def _climb(asked: _Asked, place: _Place, tensor: str, index: tuple[int, ...], loss: float, gradient: Array) -> _Tried:
    losses, off = [], []
    for sign in (-1, 1):
        said = [asked.at(place.moved(tensor, index, sign * h)) for h in LADDER]
        losses.append(np.array([loss for loss, _ in said]))
        far, near, nearest = (float(gradients[tensor][index]) for _, gradients in said[-3:])
        off.append(abs(nearest - near - (near - far) / RATIO))  # the last step is so much shorter than the one before
    left, right = losses
    return _Tried(place, tensor, index, loss, float(gradient[index]), left, right, min(off))


def _typical(samples: Array) -> float:
    """The standard deviation of normal noise, from a median: kinks among the samples do not count."""
    samples = samples[np.isfinite(samples) & (samples > 0)]  # zero where a loss does not depend on the element
    return _NORMAL * float(np.median(samples)) if samples.size else 0.0


def _judged(tried: _Tried, noise: float, gradient_noise: float) -> Element:
    with np.errstate(invalid="ignore", over="ignore"):
        slopes = tried.slopes
        largest = np.maximum(np.maximum(np.abs(tried.left), np.abs(tried.right)), abs(tried.loss))
        rounding = np.where(tried.resolved, CONFIDENCE * np.maximum(noise, _U * largest) / LADDER, np.inf)
        to_right, to_left = (tried.right - tried.loss) / LADDER, (tried.loss - tried.left) / LADDER
        at, bound = _best(slopes, rounding + _kinks(to_right - to_left))
        # One side only: L' + h/2 L'' + ..., and the losses' errors are divided by h, not by 2 h.
        (right_at, right_bound), (left_at, left_bound) = (_best(way, 2 * rounding) for way in (to_right, to_left))
    bound += CONFIDENCE * max(gradient_noise, _U * abs(tried.gradient))
    numeric, right, left = float(slopes[at]), float(to_right[right_at]), float(to_left[left_at])
    if not np.isfinite(bound) or not abs(right - left) <= right_bound + left_bound:
        outcome = Outcome.NOT_DIFFERENTIABLE
    else:
        outcome = Outcome.AGREES if abs(tried.gradient - numeric) <= bound else Outcome.WRONG
    return Element(
        tried.tensor,
        tried.place.step,
        tried.index,
        tried.gradient,
        numeric,
        bound,
        float(LADDER[at]),
        left,
        right,
        outcome,
    )


def _kinks(apart: Array) -> Array:
    """How far a kink within each step can have turned the slope, from how far the slopes right and left are apart."""
    turned = np.full(len(apart), np.inf)
    for back in (1, 2):
        more = np.abs(apart[back:] - apart[:-back] / RATIO**back)
        turned[back:] = np.maximum(np.where(np.isinf(turned[back:]), 0, turned[back:]), more)
    turned[:2] = np.inf
    return turned


def _best(slopes: Array, rounding: Array) -> tuple[int, float]:
    """The rung with the smallest bound: Richardson's estimate of the truncation, and rounding."""
    truncation = np.full(len(slopes), np.inf)
    truncation[1:] = np.abs(np.diff(slopes)) / (RATIO - 1)
    truncation[np.isnan(truncation)] = np.inf
    for rung in range(2, len(slopes)):
        if np.isfinite(truncation[rung - 1]):
            truncation[rung] = max(truncation[rung], truncation[rung - 1] / RATIO**2)
    bounds = 2 * truncation + rounding
    at = int(np.nanargmin(bounds))
    return at, float(bounds[at])
