"""A float64 network that computes as a float32 one does, as far as it can, or is fed like one."""

from __future__ import annotations

import numpy as np

from scratch_net.conventions.wrapping import wrap
from scratch_net.network import Gradients, Loss


def rounded(value):
    """The nearest float32 numbers, in the dtype that they had; whatever is no such number as it is."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return tuple(rounded(one) for one in value)
    if getattr(value, "dtype", None) != np.float64:
        return value
    return np.float64(np.float32(value)) if value.ndim == 0 else value.astype(np.float32).astype(np.float64)


def _float32(network):
    """Weights, inputs, pre-activations, outputs, losses, gradients and slots: float32 numbers, kept as float64.

    Each is computed in float64 and rounded once, where float32 rounds at every operation on the way. So it is off by
    as much as float32 is, but not by the same bits.
    """
    if network.dtype != np.float64:
        return
    optimizer = network.optimizer
    optimizer.learning_rate = float(np.float32(optimizer.learning_rate))

    def round_state(weights):
        for array in (*weights.values(), *optimizer.slots.values()):
            array[...] = rounded(array)

    def batch(previous, x, y):
        round_state(network.weights)
        return previous(rounded(x), rounded(y))

    def update(previous, weights, gradients):
        previous(weights, gradients)
        round_state(weights)

    def gradients(previous, y):
        found = previous(y)
        return Gradients(rounded(found.whole), rounded(found.data), rounded(found.penalty))

    def loss_of(previous, y, output):
        loss = previous(y, output)
        return Loss(rounded(loss.whole), loss.data, loss.penalties)

    wrap(network, "batch", batch)
    wrap(optimizer, "update", update)
    wrap(network, "gradients", gradients)
    wrap(network, "loss_of", loss_of)
    for method in ("data_loss", "penalties", "loss_gradient", "penalty_gradients", "add_penalties"):
        _round_result(network, method)
    for layer in network.layers:
        _round_result(layer.activation, "forward")
        for method in ("affine", "penalized", "backward_activation", "backward_weights", "backward_input"):
            _round_result(layer, method)
    network.metrics = {
        name: lambda y, p, metric=metric: rounded(metric(y, p)) for name, metric in network.metrics.items()
    }


def _float32_inputs(network):
    """Inputs rounded to float32, and nothing else."""
    wrap(network, "batch", lambda previous, x, y: previous(rounded(x), y))


def _round_result(owner, method):
    wrap(owner, method, lambda previous, *arguments: rounded(previous(*arguments)))


KERAS_CHOICE = {"precision.compute": "as_given", "precision.inputs": "as_given"}
CHOICES = {"precision.compute": {"float32": _float32}, "precision.inputs": {"float32": _float32_inputs}}
