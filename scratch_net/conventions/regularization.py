"""Other penalties than Keras'.

`l2.*` are about the l2 penalty, also where it stands beside an l1; `l2.layers` and `l2.bias` move a layer's kernel
regularizer as it is. In the table, what says which penalties there are comes before what changes how they are told,
their factor, and their gradient.
"""

from __future__ import annotations

import numpy as np

from scratch_net.conventions.factors import Factors
from scratch_net.conventions.other_l2 import (
    AbsentL2,
    DividedL2,
    Nothing,
    TimesL2,
    apart,
    changed,
    each_l2,
    gradients_of_their_own,
    parts_of,
    sum_of,
)
from scratch_net.network import Loss
from scratch_net.regularizers import L2, penalty_of

WEIGHTS = ("kernel_regularizer", "bias_regularizer")
EVERYWHERE = (*WEIGHTS, "activity_regularizer")


def _exact_constant(network):
    """lambda as it is, where Keras rounds it to float32."""

    def exact(value, dtype):
        return np.dtype(dtype).type(value)

    each_l2(network, lambda r: L2(r.l2, exact), EVERYWHERE)


def _of_batch(network):
    """B examples in this very batch."""
    return lambda: network.layers[0].x.shape[-2]


def _of_dataset(network):
    """N examples to train on."""
    if (count := network.training.examples) is None:
        raise ValueError("over_dataset divides by the number of examples, which is not known here")
    return lambda: count


def _over(count_of):
    """`lambda / n` with `n = count_of(network)()`, in the loss and in the gradient."""

    def install(network):
        count = count_of(network)
        each_l2(network, lambda r: DividedL2(r, count), WEIGHTS)

    return install


def _gradient_over(count_of):
    """`lambda / n` in the gradient alone."""

    def install(network):
        count = count_of(network)
        _in_gradient(lambda r: DividedL2(r, count))(network)

    return install


def _without(chosen):
    """No penalty on the kernels of `chosen(layers)`."""

    def install(network):
        for layer in chosen(network.layers):
            layer.kernel_regularizer = None

    return install


def _biases_with(of_bias):
    """Each bias also has `of_bias(r)` for each penalty r of its layer's kernel."""

    def install(network):
        for layer in network.layers:
            if layer.kernel_regularizer is not None:
                more = [of_bias(r) for r in parts_of(layer.kernel_regularizer)]
                layer.bias_regularizer = sum_of([*parts_of(layer.bias_regularizer), *more])

    return install


def _biases_in_gradient(network):
    """The gradient of each bias also has its kernel's penalty, the loss has not."""
    unseen = []

    def of_bias(r):
        unseen.append(apart(Nothing(), r))
        return unseen[-1]

    _biases_with(of_bias)(network)
    gradients_of_their_own(network, unseen)


def _exchange(regularizers):
    """Give each layer the regularizers listed for it; returns the list that undoes this."""
    before = [(layer, {place: getattr(layer, place) for place in EVERYWHERE}) for layer, _ in regularizers]
    for layer, of_layer in regularizers:
        vars(layer).update(of_layer)
    return before


def _told(change):
    """Tell the penalties with `change(l2)` for each l2, whatever later choices make of those that are minimised."""

    def install(network):
        regularizers = [
            (layer, {place: changed(getattr(layer, place), change) for place in EVERYWHERE}) for layer in network.layers
        ]
        loss_of, before = network.loss_of, network.reported

        def with_told(y, output):
            loss = loss_of(y, output)
            own = _exchange(regularizers)
            loss.told = network.penalties()  # now: when the loss is told, the weights have moved
            _exchange(own)
            return loss

        def reported(loss, y):
            data = before(loss, y).data
            return Loss(data + sum(loss.told.values()), data, loss.told)

        network.loss_of, network.reported = with_told, reported

    return install


def _minimised(change):
    """`change(l2)` for each l2, in the loss and in the gradient."""
    return lambda network: each_l2(network, change, EVERYWHERE)


def _in_gradient(change):
    """The penalties on weights are in the loss as they are, and `change(l2)` in the gradient."""

    def install(network):
        told_apart = []

        def of_weight(r):
            told_apart.append(apart(r, change(r)))
            return told_apart[-1]

        each_l2(network, of_weight, WEIGHTS)
        gradients_of_their_own(network, told_apart)

    return install


def _decay(factor):
    """`w -= factor(rate) * 2 * lambda * w` beside the optimizer's step, whose gradient has no penalty in it."""

    def install(network):
        decayed = [
            (name, part) for name, r in network.regularizers.items() for part in parts_of(r) if isinstance(part, L2)
        ]
        _in_gradient(AbsentL2)(network)
        optimizer = network.optimizer
        before = optimizer.update

        def update(weights, gradients):
            rate = factor(optimizer.learning_rate)
            decays = [(name, part.gradient(weights[name])) for name, part in decayed if name in weights]
            for name, decay in decays:
                weights[name] -= decay.dtype.type(rate) * decay
            before(weights, gradients)

        optimizer.update = update

    return install


def _sum_over_batch(network):
    """An activity penalty of the batch, not of each example: `regularizer(a)` without `/ B`."""
    for layer in network.layers:
        layer.activity_penalty = lambda a, layer=layer: penalty_of(layer.activity_regularizer, a, 2)
        layer.activity_gradient = lambda a, layer=layer: layer.activity_regularizer.gradient(a)


def _times(factor):
    """`factor` times each l2."""
    return lambda r: TimesL2(r, factor)


KERAS_CHOICE = {
    "l2.constant": "float32",
    "l2.scale": "lambda",
    "l2.layers": "as_given",
    "l2.bias": "kernels",
    "l2.reported": "as_gradient",
    "l2.penalty": "whole",
    "l2.gradient": "as_loss",
    "l2.decay": "coupled",
    "activity.batch": "mean",
}
CHOICES = {
    "l2.constant": {"exact": _exact_constant},
    "l2.scale": {"over_batch": _over(_of_batch), "over_dataset": _over(_of_dataset)},
    "l2.layers": {
        "not_first": _without(lambda layers: layers[:1]),
        "not_second": _without(lambda layers: layers[1:-1][:1]),
        "not_last": _without(lambda layers: layers[-1:]),
    },
    "l2.bias": {"included": _biases_with(lambda r: r), "in_gradient": _biases_in_gradient},
    "l2.reported": Factors({"absent": _told(AbsentL2), "half": _told(_times(0.5))}, lambda f: _told(_times(f))),
    "l2.penalty": Factors(
        {"half": _minimised(_times(0.5)), "absent": _minimised(AbsentL2)}, lambda f: _minimised(_times(f))
    ),
    "l2.gradient": Factors(
        {
            "half": _in_gradient(_times(0.5)),
            "double": _in_gradient(_times(2)),
            "absent": _in_gradient(AbsentL2),
            "over_batch": _gradient_over(_of_batch),
            "over_dataset": _gradient_over(_of_dataset),
        },
        lambda f: _in_gradient(_times(f)),
    ),
    "l2.decay": {"decoupled": _decay(lambda rate: rate), "unscaled": _decay(lambda _: 1)},
    "activity.batch": {"sum": _sum_over_batch},
}
