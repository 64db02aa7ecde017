"""Mistakes that no convention expresses: what a network makes of them must be called unexplained, never something else.

Each is a function on a network that was built with Keras' choices, as in `scratch_net.conventions`, and says in which
phase and in which layer it is seen first, in the order in which a step computes: forward from the first layer to the
last, gradients from the last to the first, updates from the first again. `any` stands for a layer that depends on the
network, and no layer at all for what belongs to none, as a loss does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratch_net.activations import Relu, Sigmoid, Softmax, Tanh
from scratch_net.adapter import ScratchSide
from scratch_net.conventions.instead import instead
from scratch_net.conventions.wrapping import wrap
from scratch_net.losses import MeanSquaredError, SumSquaredError
from scratch_net.network import Loss
from scratch_net.optimizers import Adam
from scratch_net.regularizers import L2

# The forward pass --------------------------------------------------------------------------------------------------


def _activation(kind, forward, slope):
    """Another function, with its own derivative, wherever one of that kind stands; None: as it was."""

    def install(network):
        for layer in network.layers:
            if isinstance(layer.activation, kind):
                if forward is not None:
                    layer.activation.forward = forward
                layer.activation.backward = lambda da, z, a: da * slope(z, a)

    return install


def _bias_times(factor):
    """`z = x @ W + factor * b`, and db as if it were 1."""

    def install(network):
        for layer in network.layers:
            if layer.bias is not None:
                wrap(layer, "affine", lambda previous, x, layer=layer: previous(x) + (factor - 1) * layer.bias)

    return install


def _tempered_softmax(network):
    """`softmax(z / 1.1)`, in the loss as well."""
    top = network.layers[-1]
    if not isinstance(top.activation, Softmax):
        return
    wrap(top.activation, "forward", lambda previous, z: previous(z / 1.1))
    wrap(top.activation, "backward", lambda previous, da, z, a: previous(da, z, a) / 1.1)
    inner = network.loss

    class Tempered(type(inner)):
        def value_from_logits(self, y, z):
            return inner.value_from_logits(y, z / 1.1)

        def gradient_from_logits(self, y, z):
            return inner.gradient_from_logits(y, z / 1.1) / 1.1

    instead(network, Tempered)


def _standardised_inputs(network):
    """Every feature of a batch with mean 0 and variance 1."""
    wrap(network, "batch", lambda previous, x, y: previous((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-7), y))


def _first_outputs(change):
    """Other outputs of the first layer, of which the backward pass knows nothing."""

    def install(network):
        wrap(network.layers[0].activation, "forward", lambda previous, z: change(previous(z).copy()))

    return install


def _swap_units(a):
    a[:, [0, 1]] = a[:, [1, 0]]
    return a


def _kill_unit(a):
    a[:, 0] = 0
    return a


# The loss ----------------------------------------------------------------------------------------------------------


def _loss(value, gradient, kinds=object):
    """`value(loss, y, p)` and `gradient(dp, y, p)` in place of a loss of these kinds and its derivative."""

    def install(network):
        inner = network.loss
        if not isinstance(inner, kinds):
            return

        class Other(type(inner)):
            def value(self, y, p):
                return value(inner.value, y, p)

            def gradient(self, y, p):
                return gradient(inner.gradient(y, p), y, p)

            def value_from_logits(self, y, z):
                return value(inner.value_from_logits, y, z)

            def gradient_from_logits(self, y, z):
                return gradient(inner.gradient_from_logits(y, z), y, z)

        instead(network, Other)

    return install


def _first_counts_double(dp, y, p):
    return np.concatenate([2 * dp[:1], dp[1:]])


SQUARED = (MeanSquaredError, SumSquaredError)


def _huber(loss, y, p):
    """`e**2` where |e| < 0.1, on from there in a straight line."""
    e = np.abs(y - p)
    return loss(y, y - np.sqrt(np.where(e < 0.1, e * e, 0.2 * e - 0.01)))


def _huber_gradient(dp, y, p):
    e = np.abs(y - p)
    return dp * np.where(e < 0.1, 1, 0.1 / np.maximum(e, 0.1))


class _Power(L2):
    """`lambda * sum |w|**1.5`."""

    def penalty(self, w):
        return self.constant(self.l2, w.dtype) * (np.abs(w) ** 1.5).sum()

    def gradient(self, w):
        return 1.5 * self.constant(self.l2, w.dtype) * np.sqrt(np.abs(w)) * np.sign(w)


def _power_penalty(network):
    for layer in network.layers:
        if isinstance(layer.kernel_regularizer, L2):
            layer.kernel_regularizer = _Power(layer.kernel_regularizer.l2)


def _told_with_four_digits(network):
    """The loss is told as somebody printed it."""

    def reported(previous, loss, y):
        loss = previous(loss, y)
        return Loss(np.round(loss.whole, 4), np.round(loss.data, 4), loss.penalties)

    wrap(network, "reported", reported)


# The gradient ------------------------------------------------------------------------------------------------------


def _weight_gradients(change, *, layers=slice(None)):
    """`change(layer, x, dz, gradients)` says which of a layer's gradients are others."""

    def install(network):
        for layer in network.layers[layers]:
            wrap(
                layer,
                "backward_weights",
                lambda previous, x, dz, layer=layer: (found := previous(x, dz)) | change(layer, x, dz, found),
            )

    return install


def _without_last_example(layer, x, dz, gradients):
    return {layer.kernel_name: x[:-1].T @ dz[:-1]} | ({} if layer.bias is None else {layer.bias_name: dz[:-1].sum(0)})


def _negative_bias(layer, x, dz, gradients):
    return {} if layer.bias is None else {layer.bias_name: -gradients[layer.bias_name]}


def _rolled_columns(layer, x, dz, gradients):
    return {layer.kernel_name: np.roll(gradients[layer.kernel_name], 1, axis=-1)}


def _larger(layer, x, dz, gradients):
    return {name: 1.1 * g for name, g in gradients.items()}


def _whole_gradients(change):
    """`change(gradients)` in place of what backpropagation gave, penalties and all."""

    def install(network):
        def gradients(previous, y):
            found = previous(y)
            found.whole = change({name: g.copy() for name, g in found.whole.items()})
            return found

        wrap(network, "gradients", gradients)

    return install


def _each(change):
    return _whole_gradients(lambda gradients: {name: change(g) for name, g in gradients.items()})


def _clipped_norm(gradients):
    """All of them together no longer than 0.05."""
    norm = np.sqrt(sum((g * g).sum() for g in gradients.values()))
    return {name: g * min(1, 0.05 / norm) for name, g in gradients.items()}


def _noise(network):
    """Every element off by a normal error of 0.001."""
    random = np.random.default_rng(0)
    _each(lambda g: g + 0.001 * random.standard_normal(g.shape))(network)


def _accumulated(network):
    """The gradients of all steps so far: nobody set them to zero."""
    total = {}

    def change(gradients):
        total.update({name: total.get(name, 0) + g for name, g in gradients.items()})
        return dict(total)

    _whole_gradients(change)(network)


def _reused(network):
    """In every second step the gradients of the step before."""
    last = {}

    def change(gradients):
        if network.optimizer.iterations % 2 == 0:
            last.update(gradients)
        return dict(last)

    _whole_gradients(change)(network)


def _error_over_units(network):
    """`dx = dz @ W.T / units`."""
    for layer in network.layers:
        wrap(layer, "backward_input", lambda previous, dz: previous(dz) / dz.shape[-1])


def _fixed_feedback(network):
    """`dx = dz @ W0.T`, W0 the kernel at the start."""
    for layer in network.layers:
        first = layer.kernel.copy()
        wrap(layer, "backward_input", lambda previous, dz, first=first: dz @ first.T)


# The update --------------------------------------------------------------------------------------------------------


def _after_update(change):
    """`change(network, before)` on the weights that an update left; `before` are copies of those it found."""

    def install(network):
        def update(previous, gradients):
            before = {name: w.copy() for name, w in network.weights.items()}
            previous(gradients)
            change(network, before)

        wrap(network, "update", update)

    return install


def _frozen_element(network, before):
    """The first element of the last kernel is never updated."""
    top = network.layers[-1]
    top.kernel[0, 0] = before[top.kernel_name][0, 0]


def _lost_update(network, before):
    """Every second update is lost; slots and counters have moved."""
    if network.optimizer.iterations % 2 == 0:
        for name, w in network.weights.items():
            w[...] = before[name]


def _in_float16(network, before):
    for w in network.weights.values():
        w[...] = w.astype(np.float16)


def _clipped_weights(network, before):
    for w in network.weights.values():
        w[...] = np.clip(w, -0.3, 0.3)


def _decaying_rate(network):
    """The rate is one percent smaller in every step."""
    optimizer = network.optimizer
    wrap(
        optimizer,
        "step",
        lambda previous, w, g, rate, *slots: previous(w, g, rate * 0.99**optimizer.iterations, *slots),
    )


def _without_root(network):
    """`w -= alpha * m / (v + eps)`."""
    if isinstance(network.optimizer, Adam):
        network.optimizer.denominator = lambda v: v + network.optimizer.epsilon


# The metrics -------------------------------------------------------------------------------------------------------


def _accuracy_without_last(network):
    """The last example of the batch is not counted, if there are others."""
    network.metrics = {
        name: lambda y, p, metric=metric: metric(y[: max(len(y) - 1, 1)], p[: max(len(p) - 1, 1)])
        for name, metric in network.metrics.items()
    }


# The table ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Defect:
    """What it does to a network, and where that is seen first."""

    phase: str
    layer: str
    """`first`, `last`, `any`, or empty for what belongs to no layer."""
    install: Callable[[Any], None]


DEFECTS = {
    "hard_sigmoid": Defect(
        "forward",
        "any",
        _activation(Sigmoid, lambda z: np.clip(0.2 * z + 0.5, 0, 1), lambda z, a: 0.2 * (np.abs(z) < 2.5)),
    ),
    "leaky_relu": Defect(
        "forward",
        "any",
        _activation(Relu, lambda z: np.where(z > 0, z, 0.01 * z), lambda z, a: np.where(z > 0, 1, 0.01)),
    ),
    "scaled_tanh": Defect(
        "forward",
        "any",
        _activation(Tanh, lambda z: 1.7159 * np.tanh(2 / 3 * z), lambda z, a: 1.7159 * 2 / 3 * (1 - (a / 1.7159) ** 2)),
    ),
    "bias_twice": Defect("forward", "any", _bias_times(2)),
    "bias_subtracted": Defect("forward", "any", _bias_times(-1)),  # a bias that is not zero yet
    "tempered_softmax": Defect("forward", "last", _tempered_softmax),
    "standardised_inputs": Defect("forward", "first", _standardised_inputs),
    "swapped_units": Defect("forward", "first", _first_outputs(_swap_units)),
    "dead_unit": Defect("forward", "first", _first_outputs(_kill_unit)),
    "centred_outputs": Defect("forward", "first", _first_outputs(lambda a: a - a.mean(axis=0))),
    "first_counts_double": Defect(
        "loss", "", _loss(lambda loss, y, p: loss(y, p) + loss(y[:1], p[:1]) / len(p), _first_counts_double)
    ),
    "huber": Defect("loss", "", _loss(_huber, _huber_gradient, SQUARED)),
    "power_penalty": Defect("loss", "any", _power_penalty),
    "told_with_four_digits": Defect("loss", "", _told_with_four_digits),
    "absolute_error_gradient": Defect(
        "gradient", "last", _loss(lambda loss, y, p: loss(y, p), lambda dp, y, p: np.sign(p - y) / p.size, SQUARED)
    ),
    "last_example_dropped": Defect("gradient", "last", _weight_gradients(_without_last_example)),
    "bias_sign": Defect("gradient", "last", _weight_gradients(_negative_bias, layers=slice(-1, None))),
    "rolled_columns": Defect("gradient", "first", _weight_gradients(_rolled_columns, layers=slice(1))),
    "larger_in_first_layer": Defect("gradient", "first", _weight_gradients(_larger, layers=slice(1))),
    "threshold_in_relu": Defect("gradient", "any", _activation(Relu, None, lambda z, a: z > 0.1)),
    "slope_of_tanh": Defect("gradient", "any", _activation(Tanh, None, lambda z, a: 1 - a)),
    "clipped": Defect("gradient", "any", _each(lambda g: np.clip(g, -0.01, 0.01))),
    "clipped_norm": Defect("gradient", "last", _whole_gradients(_clipped_norm)),
    "four_digits": Defect("gradient", "last", _each(lambda g: np.round(g, 4))),
    "noise": Defect("gradient", "last", _noise),
    "accumulated": Defect("gradient", "last", _accumulated),
    "reused": Defect("gradient", "last", _reused),
    "error_over_units": Defect("gradient", "any", _error_over_units),
    "fixed_feedback": Defect("gradient", "any", _fixed_feedback),
    "frozen_element": Defect("update", "last", _after_update(_frozen_element)),
    "lost_update": Defect("update", "first", _after_update(_lost_update)),
    "in_float16": Defect("update", "first", _after_update(_in_float16)),
    "clipped_weights": Defect("update", "any", _after_update(_clipped_weights)),
    "decaying_rate": Defect("update", "first", _decaying_rate),
    "without_root": Defect("update", "first", _without_root),
    "accuracy_without_last": Defect("metrics", "", _accuracy_without_last),
}


class DefectiveSide(ScratchSide):
    """The NumPy network with one of these mistakes in it, judged like anybody's."""

    def __init__(self, choices=None, defect=None):
        super().__init__(choices)
        if defect is not None and defect not in DEFECTS:
            msg = f"no defect {defect!r}; there are {', '.join(DEFECTS)}"
            raise ValueError(msg)
        self.defect = defect

    def defects(self):
        """Name -> phase and layer (`first`, `last`, `any`, or none) in which it is seen first."""
        return {name: (defect.phase, defect.layer) for name, defect in DEFECTS.items()}

    def with_defect(self, name):
        return DefectiveSide(self.choices, name)

    def with_conventions(self, choices):
        return DefectiveSide({**self.choices, **choices}, self.defect)

    def built(self, products=None):
        network = super().built(products)
        if self.defect is not None:
            network.stacks = False  # they are written for a single step
            DEFECTS[self.defect].install(network)
        return network
