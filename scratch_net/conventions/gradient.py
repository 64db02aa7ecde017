"""Other layouts and other backpropagations than Keras'. Most are mistakes, and each has been made.

A network that takes slopes in place of backpropagation (see `engines`) has none of those in backpropagation.
"""

from __future__ import annotations

import numpy as np

from scratch_net.activations import Relu, Softmax
from scratch_net.conventions.wrapping import wrap
from scratch_net.losses import CategoricalCrossentropy, SparseCategoricalCrossentropy

# The forward pass --------------------------------------------------------------------------------------------------


def _is_square(layer):
    return layer.kernel.shape[-1] == layer.kernel.shape[-2]


def _with_kernel(layer, kernel, method, *arguments):
    """What a method of the layer gives with another kernel."""
    own, layer.kernel = layer.kernel, kernel
    try:
        return method(*arguments)
    finally:
        layer.kernel = own


def _transpose_kernel(layer, method):
    """The method as it is with `kernel.T`."""
    wrap(layer, method, lambda previous, given: _with_kernel(layer, layer.kernel.mT, previous, given))


def _transposed_layout(network):
    """`z = x @ W.T + b` where W is square: so `dW = dz.T @ x` and `dx = dz @ W`."""

    def backward_weights(layer, previous, x, dz):
        found = previous(x, dz)
        return found | {layer.kernel_name: np.ascontiguousarray(found[layer.kernel_name].mT)}

    for layer in filter(_is_square, network.layers):
        _transpose_kernel(layer, "affine")
        _transpose_kernel(layer, "backward_input")
        wrap(layer, "backward_weights", lambda *given, layer=layer: backward_weights(layer, *given))


# Through an activation ---------------------------------------------------------------------------------------------


def _all(layers):
    return layers


def _hidden(layers):
    return layers[:-1]


def _derivative_at_output(chosen):
    """`dz = da * phi'(a)` in `chosen(layers)`: the derivative as a function of z, given a."""

    def install(network):
        for layer in chosen(network.layers):
            wrap(
                layer,
                "backward_activation",
                lambda previous, da, z, a, layer=layer: previous(da, a, layer.activation.forward(a)),
            )

    return install


def _derivative_of_input(chosen):
    """`dz = da * z (1 - z)` for a sigmoid in `chosen(layers)`: the derivative as a function of a, given z."""

    def install(network):
        for layer in chosen(network.layers):
            wrap(layer, "backward_activation", lambda previous, da, z, a: previous(da, z, z))

    return install


def _no_derivative(chosen):
    """`dz = da` in `chosen(layers)`."""

    def install(network):
        for layer in chosen(network.layers):
            wrap(layer, "backward_activation", lambda previous, da, z, a: da)

    return install


def _no_output_derivative(network):
    """`dz = dL/dp`, wherever the loss is not taken from the logits."""

    def backward_activation(previous, da, z, a):
        return previous(da, z, a) if network.skips_activation else da

    wrap(network.layers[-1], "backward_activation", backward_activation)


def _softmax_alone(network):
    """`dz_i = da_i a_i (1 - a_i)`: each output of a softmax as if it depended on its own z_i alone."""
    for layer in network.layers:
        if isinstance(layer.activation, Softmax):
            wrap(layer.activation, "backward", lambda previous, da, z, a: da * (a * (1 - a)))


def _relu_at_zero(network):
    """`dz = da where z >= 0`."""
    for layer in network.layers:
        if isinstance(layer.activation, Relu):
            wrap(layer.activation, "backward", lambda previous, da, z, a: da * (z >= 0))


# From the loss -----------------------------------------------------------------------------------------------------


def _shortcut_twice(network):
    """`dz = (p - y) / B * p (1 - p)`: the shortcut has the activation's derivative in it already."""

    def loss_gradient(previous, y, z, p):
        da, dz = previous(y, z, p)
        return (da, dz * (p * (1 - p))) if network.skips_activation else (da, dz)

    wrap(network, "loss_gradient", loss_gradient)


def _diagonal_softmax(network):
    """`dz = -y / p * p (1 - p) / B`: of the Jacobian `p_i (delta_ij - p_j)` the diagonal alone.

    As a share of Keras' `(p - y) / B`, whatever factors that has: `y (1 - p) / (y - p)`, all where y is 1, none where
    it is 0.
    """

    def loss_gradient(previous, y, z, p):
        da, dz = previous(y, z, p)
        if not network.skips_activation or not isinstance(network.layers[-1].activation, Softmax):
            return da, dz
        if isinstance(network.loss, SparseCategoricalCrossentropy):
            y = (y[..., None] == np.arange(z.shape[-1])).astype(p.dtype)
        elif isinstance(network.loss, CategoricalCrossentropy):
            y = network.loss.targets(y)
        else:
            return da, dz
        with np.errstate(divide="ignore", invalid="ignore"):
            share = y * (1 - p) / (y - p)
        return da, np.where(y == p, -y * (1 - p) / p.shape[-2], dz * share)

    wrap(network, "loss_gradient", loss_gradient)


def _summed(network):
    """`dp = sum_b`: B times the derivative of the loss that is told, which is a mean."""

    def loss_gradient(previous, y, z, p):
        return tuple(None if g is None else g * p.shape[-2] for g in previous(y, z, p))

    wrap(network, "loss_gradient", loss_gradient)


# Through a layer's product -----------------------------------------------------------------------------------------


def _wrap_weight_gradients(network, changed):
    """Let `changed(layer, gradients, dz)` give what is other than before in a layer's gradients."""
    for layer in network.layers:

        def backward_weights(previous, x, dz, layer=layer):
            gradients = previous(x, dz)
            return gradients | changed(layer, gradients, dz)

        wrap(layer, "backward_weights", backward_weights)


def _of_biases(network, changed):
    """Let `changed(db, dz)` be the gradient of every bias."""

    def of_layer(layer, gradients, dz):
        return {} if layer.bias is None else {layer.bias_name: changed(gradients[layer.bias_name], dz)}

    _wrap_weight_gradients(network, of_layer)


def _bias_mean(network):
    """`db = 1/B sum_b dz[b]`, dz divided by B already."""
    _of_biases(network, lambda db, dz: db / dz.shape[-2])


def _bias_not_averaged(network):
    """`db = B sum_b dz[b]`, dz divided by B already."""
    _of_biases(network, lambda db, dz: db * dz.shape[-2])


def _bias_scalar(network):
    """`db = sum over the batch and the units`, the same for every unit."""
    _of_biases(network, lambda db, dz: np.broadcast_to(db.sum(axis=-1, keepdims=True), db.shape).copy())


def _bias_missing(network):
    """`db = 0`, its penalty's part as well."""
    _of_biases(network, lambda db, dz: np.zeros_like(db))

    def penalty_gradients(previous):
        biases = {layer.bias_name for layer in network.layers}
        return {name: np.zeros_like(g) if name in biases else g for name, g in previous().items()}

    wrap(network, "penalty_gradients", penalty_gradients)


def _kernel_mean(network):
    """`dW = x.T @ dz / B`, dz divided by B already."""
    _wrap_weight_gradients(
        network, lambda layer, gradients, dz: {layer.kernel_name: gradients[layer.kernel_name] / dz.shape[-2]}
    )


def _wrong_transpose(network):
    """`dx = dz @ W` where W is square."""
    for layer in filter(_is_square, network.layers):
        _transpose_kernel(layer, "backward_input")


def _shifted_index(network):
    """`dW[l] = x[l].T @ dz[l + 1]` where both layers have as many units."""
    for layer, above in zip(network.layers, network.layers[1:], strict=False):
        if layer.kernel.shape[-1] == above.kernel.shape[-1]:
            wrap(layer, "backward_weights", lambda previous, x, dz, above=above: previous(x, above.dz))


def _after_update(network):
    """`dx = dz @ (the W that the update will leave).T`: each layer is updated before the error goes on.

    An update on copies tells those weights; the real one comes after all gradients and gives them once more.
    """
    for layer in network.layers[1:]:
        _update_before_error(network, layer)


def _update_before_error(network, layer):
    found = {}

    def backward_weights(previous, x, dz):
        gradients = previous(x, dz)
        found.update(gradients)
        return gradients

    def backward_input(previous, dz):
        whole = network.add_penalties(found, network.penalty_gradients())
        updated = _updated(network.optimizer, layer.weights, whole)
        return _with_kernel(layer, updated[layer.kernel_name], previous, dz)

    wrap(layer, "backward_weights", backward_weights)
    wrap(layer, "backward_input", backward_input)


def _updated(optimizer, weights, gradients):
    """The weights as the optimizer would leave them; it is left as it was."""
    slots, iterations = optimizer.slots, optimizer.iterations
    optimizer.slots = {name: slot.copy() for name, slot in slots.items() if name.rpartition("/")[0] in weights}
    weights = {name: w.copy() for name, w in weights.items()}
    optimizer.update(weights, gradients)
    optimizer.slots, optimizer.iterations = slots, iterations
    return weights


KERAS_CHOICE = {
    "forward.kernel": "as_given",
    "gradient.derivative": "at_input",
    "gradient.hidden_activation": "included",
    "gradient.output_activation": "included",
    "gradient.softmax": "whole",
    "gradient.shortcut": "once",
    "gradient.batch": "as_loss",
    "gradient.relu_at_zero": "zero",
    "gradient.index": "own",
    "gradient.bias": "sum",
    "gradient.kernel": "as_loss",
    "gradient.transposed": "right",
    "gradient.weights": "before_update",
}
CHOICES = {
    "forward.kernel": {"transposed": _transposed_layout},
    "gradient.derivative": {
        "at_output": _derivative_at_output(_all),
        "of_input": _derivative_of_input(_all),
        "hidden_at_output": _derivative_at_output(_hidden),
        "hidden_of_input": _derivative_of_input(_hidden),
    },
    "gradient.hidden_activation": {
        "missing": _no_derivative(_hidden),
        "missing_in_first": _no_derivative(lambda layers: _hidden(layers)[:1]),
        "missing_in_second": _no_derivative(lambda layers: _hidden(layers)[1:2]),
        "missing_in_third": _no_derivative(lambda layers: _hidden(layers)[2:3]),
    },
    "gradient.output_activation": {"missing": _no_output_derivative},
    "gradient.softmax": {"diagonal": _softmax_alone},
    "gradient.shortcut": {"twice": _shortcut_twice, "diagonal": _diagonal_softmax},
    "gradient.batch": {"sum": _summed},
    "gradient.relu_at_zero": {"one": _relu_at_zero},
    "gradient.index": {"shifted": _shifted_index},
    "gradient.bias": {
        "mean": _bias_mean,
        "not_averaged": _bias_not_averaged,
        "missing": _bias_missing,
        "scalar": _bias_scalar,
    },
    "gradient.kernel": {"mean": _kernel_mean},
    "gradient.transposed": {"wrong": _wrong_transpose},
    "gradient.weights": {"after_update": _after_update},  # last: it needs the gradients as the others leave them
}
