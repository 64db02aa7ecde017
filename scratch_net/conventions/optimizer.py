"""Other ways from gradients to weights. What is about one optimizer leaves the others as they are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from scratch_net.conventions.factors import Factors
from scratch_net.conventions.wrapping import size_of_batch, wrap
from scratch_net.optimizers import SGD, Adam, RMSprop


def _of(optimizer_class):
    """Of this optimizer only: an `install` that is given the optimizer, too."""

    def choice(change):
        def install(network):
            if isinstance(network.optimizer, optimizer_class):
                change(network, network.optimizer)

        return install

    return choice


def _given(optimizer_class, setting, value):
    """A setting has this value, whatever was given."""
    return _of(optimizer_class)(lambda _, optimizer: setattr(optimizer, setting, value))


def _times(optimizer_class, setting):
    """For any F: a setting is F times what was given."""
    return _changed(optimizer_class, setting, lambda given, factor: factor * given)


def _rest_times(optimizer_class, setting):
    """For any F: what a setting leaves of 1 is F times what it was, as 0.99 leaves a tenth of what 0.9 leaves."""
    return _changed(optimizer_class, setting, lambda given, factor: 1 - factor * (1 - given))


def _changed(optimizer_class, setting, change):
    """Worked out as somebody writes numbers: 1 - 0.5 * (1 - 0.9) is 0.95, whose last bit floats miss."""

    def by(factor):
        def install(_, optimizer):
            given, of_it = (Fraction(repr(number)) for number in (float(getattr(optimizer, setting)), factor))
            setattr(optimizer, setting, float(change(given, of_it)))

        return _of(optimizer_class)(install)

    return by


def _momentum_of(optimizer_class):
    """Of an optimizer that was given no momentum."""

    def by(momentum):
        def install(network, optimizer):
            if not optimizer.momentum:
                optimizer.momentum = momentum
                optimizer.start(network.weights)

        return _of(optimizer_class)(install)

    return by


def _exact_constants(network):
    """`momentum` and `beta**t` of the very numbers that were given, `alpha` in float64 whatever the weights are in."""
    network.optimizer.constant = lambda value, dtype: np.dtype(dtype).type(value)
    if isinstance(network.optimizer, Adam):  # float32 has 1.3e-5 less for 1 - 0.999

        def alpha(previous, t, rate):
            return t.dtype.type(previous(np.float64(t), np.float64(rate)))

        wrap(network.optimizer, "alpha", alpha)


# Adam --------------------------------------------------------------------------------------------------------------


@_of(Adam)
def _textbook_epsilon(_, adam):
    """`w -= rate * m_hat / (sqrt(v_hat) + eps)`, that is `alpha * m / (sqrt(v) + eps * sqrt(1 - beta_2**t))`."""

    def denominator(_, v):
        return np.sqrt(v) + adam.epsilon * adam.of_step(lambda t: np.sqrt(adam.corrections(v.dtype.type(t))[1]), v)

    wrap(adam, "denominator", denominator)


@_of(Adam)
def _textbook_epsilon_under_the_root(_, adam):
    """`w -= rate * m_hat / sqrt(v_hat + eps)`, that is `alpha * m / sqrt(v + eps * (1 - beta_2**t))`."""

    def denominator(_, v):
        return np.sqrt(v + adam.epsilon * adam.of_step(lambda t: adam.corrections(v.dtype.type(t))[1], v))

    wrap(adam, "denominator", denominator)


@_of(Adam)
def _epsilon_under_the_root(_, adam):
    """`w -= alpha * m / sqrt(v + eps)`."""
    wrap(adam, "denominator", lambda _, v: np.sqrt(v + adam.epsilon))


@_of(Adam)
def _exchanged_betas(_, adam):
    """Each moment has the other one's beta."""
    adam.beta_1, adam.beta_2 = adam.beta_2, adam.beta_1


@_of(Adam)
def _no_correction(_, adam):
    """`alpha = rate`."""
    wrap(adam, "corrections", lambda _, t: (t.dtype.type(1), t.dtype.type(1)))


@_of(Adam)
def _correction_without_power(_, adam):
    """`alpha = rate * sqrt(1 - beta_2) / (1 - beta_1)`, in every step."""
    wrap(adam, "corrections", lambda previous, t: previous(t.dtype.type(1)))


@_of(Adam)
def _step_ahead(_, adam):
    """t is 2 in the first step."""
    wrap(adam, "corrections", lambda previous, t: previous(t + t.dtype.type(1)))


def _step_of_tensor(in_order):
    """Tensor k of K uses `t = (step - 1) K + k`, where `in_order(layers)` has their names in the order of k."""

    @_of(Adam)
    def install(network, adam):
        position = {name: index for index, name in enumerate(in_order(network.layers))}

        def update(previous, weights, gradients):
            steps = adam.iterations
            for name, w in weights.items():
                adam.iterations = steps * len(position) + position[name]
                previous({name: w}, gradients)
            adam.iterations = steps + 1

        wrap(adam, "update", update)

    return install


def _forwards(layers):
    """W1, b1, W2, b2."""
    return [name for layer in layers for name in layer.weights]


def _backwards(layers):
    """W2, b2, W1, b1, as backpropagation finds their gradients."""
    return _forwards(reversed(layers))


def _kernels_first(layers):
    """W1, W2, b1, b2."""
    kernels = [layer.kernel_name for layer in layers]
    return kernels + [name for name in _forwards(layers) if name not in kernels]


# Momentum ----------------------------------------------------------------------------------------------------------


@_of(SGD)
def _dampened(_, sgd):
    """`m = mu * m - rate * (1 - mu) * g`."""
    if sgd.momentum:
        share = 1 - sgd.momentum
        wrap(sgd, "step", lambda previous, w, g, rate, m: previous(w, g * share, rate, m))


@_of(SGD)
def _rate_outside(_, sgd):
    """`m = mu * m + g; w -= rate * m`: Keras' m at rate 1, with the other sign."""

    def step(previous, w, g, rate, m):
        moved, keras_m = np.zeros_like(w), -m
        previous(moved, g, rate.dtype.type(1), keras_m)
        m[...] = -keras_m
        w += rate * moved

    if sgd.momentum:
        wrap(sgd, "step", step)


def _nesterov(change):
    """Of an SGD with nesterov=True: `change` starts from one without it."""

    def of_nesterov(network, sgd):
        if sgd.momentum and sgd.nesterov:
            sgd.nesterov = False
            change(network, sgd)

    return _of(SGD)(of_nesterov)


@_of(SGD)
def _nesterov_on(_, sgd):
    """`w += mu * m - rate * g` of an SGD with nesterov=False."""
    if sgd.momentum and not sgd.nesterov:
        sgd.nesterov = True


@_nesterov
def _nesterov_off(network, sgd):
    """`w += m`."""


@_nesterov
def _nesterov_twice(_, sgd):
    """`w += (1 + mu) * m`, with the new m."""

    def step(previous, w, g, rate, m):
        moved = np.zeros_like(w)
        previous(moved, g, rate, m)
        w += (1 + sgd.constant(sgd.momentum, w.dtype)) * moved

    wrap(sgd, "step", step)


@_nesterov
def _lookahead(network, sgd):
    """g taken at `w + mu * m`; then `m = mu * m - rate * g; w += m`, w the weights that are kept."""
    kept = []

    def put_back():
        for w, own in kept:
            w[...] = own
        kept.clear()

    def batch(previous, x, y):
        put_back()
        for name, w in network.weights.items():
            kept.append((w, w.copy()))
            # Where momentum alone would carry it: the step that a zero gradient gives.
            sgd.step(w, np.zeros_like(w), w.dtype.type(sgd.learning_rate), sgd.slots[f"{name}/momentum"].copy())
        return previous(x, y)

    def update(previous, gradients):
        put_back()
        previous(gradients)

    wrap(network, "batch", batch)
    wrap(network, "update", update)


@_of(SGD)
def _no_momentum(_, sgd):
    """`w -= rate * g`; m is what it is, and nothing follows it."""

    def step(previous, w, g, rate, m):
        previous(np.zeros_like(w), g, rate, m)
        w -= g * rate

    if sgd.momentum:
        wrap(sgd, "step", step)


# RMSprop -----------------------------------------------------------------------------------------------------------


@_of(RMSprop)
def _epsilon_outside_of_the_root(_, rmsprop):
    """`w -= rate * g / (sqrt(v) + eps)`."""
    wrap(rmsprop, "denominator", lambda _, v: np.sqrt(v) + rmsprop.epsilon)


@_of(RMSprop)
def _momentum_of_rmsprop_ignored(network, rmsprop):
    """`w -= rate * g / sqrt(v + eps)`, whatever momentum was given."""
    rmsprop.momentum = 0.0
    rmsprop.start(network.weights)


@_of(RMSprop)
def _flipped_centered(network, rmsprop):
    """Centered where it was not asked for, and the other way round."""
    rmsprop.centered = not rmsprop.centered
    rmsprop.start(network.weights)


# Any optimizer -----------------------------------------------------------------------------------------------------


def _scale_rate(factor):
    """`w -= factor * rate * g`; the rate that is told is the one that was given."""

    def install(network):
        wrap(network.optimizer, "step", lambda previous, w, g, rate, *slots: previous(w, g, rate * factor, *slots))

    return install


def _decaying_rate(decay):
    """`rate / (1 + decay * t)`, t updates before this one."""

    def install(network):
        def step(previous, w, g, rate, *slots):
            previous(w, g, rate * (1 / (1 + decay * network.optimizer.iterations)), *slots)

        network.stacks = False
        wrap(network.optimizer, "step", step)

    return install


def _rate_over_batch(network):
    """`w -= rate / B * g`, B examples in this very batch."""
    size = size_of_batch(network)
    wrap(network.optimizer, "step", lambda previous, w, g, rate, *slots: previous(w, g, rate / size(), *slots))


def _update_only(chosen):
    """Update those weights of which `chosen(network)` has the names."""

    def install(network):
        names = chosen(network)

        def update(previous, weights, gradients):
            previous({name: w for name, w in weights.items() if name in names}, gradients)

        wrap(network.optimizer, "update", update)

    return install


def _weights_of(layers):
    return {name for layer in layers for name in layer.weights}


def _without_layer(index):
    """All weights but those of one layer between the first and the last, if there is such a layer."""
    return _update_only(lambda network: network.weights.keys() - _weights_of(network.layers[index:-1][:1]))


def _without_bias(of_layers):
    """All weights but the biases of `of_layers(layers)`."""

    def chosen(network):
        return network.weights.keys() - {layer.bias_name for layer in of_layers(network.layers)}

    return _update_only(chosen)


def _an_update_an_example(network):
    """For each b: `w -= rate * g[b]`, g[b] taken with the weights that the example before left.

    What is told of the forward pass, the loss and the gradient is the whole batch's, from the weights before the first
    of these updates; each example after that is a batch of its own, with all that belongs to a step.
    """
    network.stacks = False
    network.training = replace(network.training, batch_size=1)
    take, last, told, buffers = network.batch, {}, {}, {layer.name: {} for layer in network.layers}

    def batch(previous, x, y):
        last.update(x=x, y=y)
        return previous(x, y)

    def update(previous, gradients):
        for layer in network.layers:
            told[layer.name] = (layer.x, layer.z, layer.a, layer.da, layer.dz, layer.buffers)
            layer.buffers = buffers[layer.name]
        for row in range(len(last["x"])):
            x, y = take(last["x"][row : row + 1], last["y"][row : row + 1])
            network.forward(x)
            previous(network.gradients(y))
        for layer in network.layers:
            layer.x, layer.z, layer.a, layer.da, layer.dz, layer.buffers = told[layer.name]

    wrap(network, "batch", batch)
    wrap(network, "update", update)


KERAS_CHOICE = {
    "optimizer.constants": "float32",
    "adam.epsilon": "hat",
    "adam.epsilon_value": "as_given",
    "adam.epsilon_scale": "as_given",
    "adam.betas": "as_given",
    "adam.gradient_share": "as_given",
    "adam.square_share": "as_given",
    "adam.bias_correction": "on",
    "adam.step": "from_one",
    "sgd.added_momentum": "none",
    "momentum.dampening": "none",
    "momentum.nesterov": "as_given",
    "momentum.rate": "inside",
    "momentum.factor": "as_given",
    "rmsprop.epsilon": "inside",
    "rmsprop.epsilon_value": "as_given",
    "rmsprop.epsilon_scale": "as_given",
    "rmsprop.rho": "as_given",
    "rmsprop.square_share": "as_given",
    "rmsprop.added_momentum": "none",
    "rmsprop.momentum": "as_given",
    "rmsprop.centered": "as_given",
    "learning_rate.scale": "as_given",
    "learning_rate.decay": "none",
    "update.layers": "all",
    "update.biases": "all",
    "update.each": "batch",
}
CHOICES = {
    "optimizer.constants": {"exact": _exact_constants},
    "adam.epsilon": {
        "textbook": _textbook_epsilon,
        "inside": _epsilon_under_the_root,
        "textbook_inside": _textbook_epsilon_under_the_root,
    },
    "adam.epsilon_value": {"1e-8": _given(Adam, "epsilon", 1e-8)},
    "adam.epsilon_scale": Factors({"absent": _given(Adam, "epsilon", 0.0)}, _times(Adam, "epsilon")),
    "adam.betas": {"exchanged": _exchanged_betas},
    "adam.gradient_share": Factors({}, _rest_times(Adam, "beta_1")),
    "adam.square_share": Factors({}, _rest_times(Adam, "beta_2")),
    "adam.bias_correction": {"missing": _no_correction, "no_power": _correction_without_power},
    "adam.step": {
        "ahead": _step_ahead,
        "per_tensor": _step_of_tensor(_forwards),
        "per_tensor_backwards": _step_of_tensor(_backwards),
        "per_tensor_kernels_first": _step_of_tensor(_kernels_first),
    },
    "sgd.added_momentum": Factors({}, _momentum_of(SGD)),
    "momentum.dampening": {"dampened": _dampened},
    "momentum.nesterov": {"on": _nesterov_on, "off": _nesterov_off, "twice": _nesterov_twice, "lookahead": _lookahead},
    "momentum.rate": {"outside": _rate_outside},
    # After the others: none of them moves a weight where it is ignored.
    "momentum.factor": Factors({"ignored": _no_momentum}, _times(SGD, "momentum")),
    "rmsprop.epsilon": {"outside": _epsilon_outside_of_the_root},
    "rmsprop.epsilon_value": {"1e-8": _given(RMSprop, "epsilon", 1e-8)},
    "rmsprop.epsilon_scale": Factors({"absent": _given(RMSprop, "epsilon", 0.0)}, _times(RMSprop, "epsilon")),
    "rmsprop.rho": {"0.99": _given(RMSprop, "rho", 0.99)},
    "rmsprop.square_share": Factors({}, _rest_times(RMSprop, "rho")),
    "rmsprop.added_momentum": Factors({}, _momentum_of(RMSprop)),
    "rmsprop.momentum": Factors({"ignored": _momentum_of_rmsprop_ignored}, _times(RMSprop, "momentum")),
    "rmsprop.centered": {"flipped": _flipped_centered},
    "learning_rate.scale": Factors(
        {"over_batch": _rate_over_batch, "half": _scale_rate(0.5), "double": _scale_rate(2)}, _scale_rate
    ),
    "learning_rate.decay": Factors({}, _decaying_rate),
    "update.layers": {
        "not_first": _update_only(lambda network: _weights_of(network.layers[1:])),
        "not_second": _without_layer(1),
        "not_third": _without_layer(2),
        "not_last": _update_only(lambda network: _weights_of(network.layers[:-1])),
        "only_first": _update_only(lambda network: _weights_of(network.layers[:1])),
        "only_last": _update_only(lambda network: _weights_of(network.layers[-1:])),
        "no_biases": _update_only(lambda network: {layer.kernel_name for layer in network.layers}),
    },
    "update.biases": {
        "not_first": _without_bias(lambda layers: layers[:1]),
        "not_second": _without_bias(lambda layers: layers[1:-1][:1]),
        "not_third": _without_bias(lambda layers: layers[2:-1][:1]),
        "not_last": _without_bias(lambda layers: layers[-1:]),
    },
    "update.each": {"example": _an_update_an_example},
}
