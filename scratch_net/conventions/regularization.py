"""Other penalties than Keras'.

`l2.*` are about the l2 penalty and `l1.*` about the l1, also where they stand beside each other; `l2.layers` and
`l2.bias` move a layer's kernel regularizer as it is. `bias.*` are about the regularizers that biases have of their own,
and `activity.*` about those of outputs, whatever they are made of. In the table, what says which penalties there are
comes before what changes how they are told, their factor, and their gradient.
"""

from __future__ import annotations

import numpy as np

from scratch_net.conventions.factors import Factors
from scratch_net.conventions.penalties import (
    Absent,
    Apart,
    Divided,
    Nothing,
    Times,
    changed,
    each,
    gradients_of_their_own,
    kind_of,
    parts_of,
    sum_of,
)
from scratch_net.conventions.wrapping import wrap
from scratch_net.network import Loss
from scratch_net.regularizers import L1, L2, penalty_of

WEIGHTS = ("kernel_regularizer", "bias_regularizer")
BIASES = ("bias_regularizer",)
OUTPUTS = ("activity_regularizer",)
EVERYWHERE = (*WEIGHTS, *OUTPUTS)
ANY = (L1, L2)


def _exact(value, dtype):
    return np.dtype(dtype).type(value)


def _exact_constant(made, kind):
    """lambda as it is, where Keras rounds it to float32."""
    return lambda network: each(network, made, EVERYWHERE, (kind,))


def _of_batch(network):
    """B examples in this very batch."""
    return lambda: network.layers[0].x.shape[-2]


def _of_dataset(network):
    """N examples to train on."""
    if (count := network.training.examples) is None:
        raise ValueError("over_dataset divides by the number of examples, which is not known here")
    return lambda: count


def _over(count_of, kinds=(L2,)):
    """`lambda / n` with `n = count_of(network)()`, in the loss and in the gradient."""

    def install(network):
        count = count_of(network)
        each(network, lambda r: Divided(r, count), WEIGHTS, kinds)

    return install


def _gradient_over(count_of):
    """`lambda / n` in the gradient alone."""

    def install(network):
        count = count_of(network)
        _in_gradient(lambda r: Divided(r, count))(network)

    return install


def _has_l2(regularizer):
    return any(kind_of(part) is L2 for part in parts_of(regularizer))


def _with(part, layers):
    """These kernels also have the penalty `part`."""
    for layer in layers:
        layer.kernel_regularizer = sum_of([*parts_of(layer.kernel_regularizer), part])


def _where_there_is_none(by):
    """Numbers of a network of which no kernel has an l2 penalty: what becomes of one that is there has other names."""

    def of_number(factor):
        def install(network):
            if not any(_has_l2(layer.kernel_regularizer) for layer in network.layers):
                by(factor)(network)

        return install

    return Factors({}, of_number)


def _added(factor):
    """`factor * sum(w**2)` of every kernel; nobody rounds it to float32."""
    return lambda network: _with(L2(factor, _exact), network.layers)


def _every_weight(network):
    return network.weights.keys()


def _kernels(network):
    return {layer.kernel_name for layer in network.layers}


def _with_decay(weights, gradients, decayed, factor):
    """`g + factor * w` of the weights that are decayed, as far as these are they."""
    names = weights.keys() & gradients.keys() & decayed
    return {name: g + g.dtype.type(factor) * weights[name] if name in names else g for name, g in gradients.items()}


def _decay_in_gradient(chosen):
    """`g + factor * w` is the gradient, and told as that; the loss knows nothing of it."""

    def by(factor):
        def install(network):
            def add_penalties(previous, data, penalty):
                return _with_decay(network.weights, previous(data, penalty), chosen(network), factor)

            wrap(network, "add_penalties", add_penalties)

        return install

    return _where_there_is_none(by)


def _coupled(chosen):
    """The same on its way into the optimizer's step: what is told of the gradient is without."""

    def by(factor):
        def install(network):
            def update(previous, weights, gradients):
                previous(weights, _with_decay(weights, gradients, chosen(network), factor))

            wrap(network.optimizer, "update", update)

        return install

    return _where_there_is_none(by)


def _decoupled(chosen):
    """`w -= factor * rate * w` of the weights that are decayed, before the optimizer's step."""

    def by(factor):
        def install(network):
            def update(previous, weights, gradients):
                for name in weights.keys() & chosen(network):
                    w = weights[name]
                    w -= w.dtype.type(factor * network.optimizer.learning_rate) * w
                previous(weights, gradients)

            wrap(network.optimizer, "update", update)

        return install

    return _where_there_is_none(by)


def _on_every_kernel(network):
    """Kernels that have no l2 penalty have that of the first one that has."""
    given = [part for layer in network.layers for part in parts_of(layer.kernel_regularizer) if kind_of(part) is L2]
    if given:
        _with(given[0], [layer for layer in network.layers if not _has_l2(layer.kernel_regularizer)])


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
        unseen.append(Apart(Nothing(), r))
        return unseen[-1]

    _biases_with(of_bias)(network)
    gradients_of_their_own(network, unseen)


def _exchange(regularizers):
    """Give each layer the regularizers listed for it; returns the list that undoes this."""
    before = [(layer, {place: getattr(layer, place) for place in EVERYWHERE}) for layer, _ in regularizers]
    for layer, of_layer in regularizers:
        vars(layer).update(of_layer)
    return before


def _told_regularizers(network):
    """The regularizers of every layer that are told, whatever later choices make of those that are minimised."""
    if not hasattr(network, "told_regularizers"):
        told = [(layer, {place: getattr(layer, place) for place in EVERYWHERE}) for layer in network.layers]

        def loss_of(previous, y, output):
            loss = previous(y, output)
            own = _exchange(told)
            loss.told = network.penalties()  # now: when the loss is told, the weights have moved
            _exchange(own)
            return loss

        def reported(previous, loss, y):
            data = previous(loss, y).data
            return Loss(data + sum(loss.told.values()), data, loss.told)

        wrap(network, "loss_of", loss_of)
        wrap(network, "reported", reported)
        network.told_regularizers = told
    return network.told_regularizers


def _told(change, places=EVERYWHERE, kinds=(L2,)):
    """Tell the penalties with `change(part)` for each part of these kinds."""

    def install(network):
        for _, of_layer in _told_regularizers(network):
            of_layer.update({place: changed(of_layer[place], change, kinds) for place in places})

    return install


def _minimised(change, places=EVERYWHERE, kinds=(L2,)):
    """`change(part)` for each part of these kinds, in the loss and in the gradient."""
    return lambda network: each(network, change, places, kinds)


def _apart(of_loss, of_gradient, places, kinds):
    """`of_loss(part)` in the loss, and `of_gradient(part)` in the gradient, for each part of these kinds."""

    def install(network):
        told_apart = []

        def of_part(r):
            told_apart.append(Apart(of_loss(r), of_gradient(r)))
            return told_apart[-1]

        each(network, of_part, places, kinds)
        gradients_of_their_own(network, told_apart)

    return install


def _as_it_is(r):
    return r


def _in_gradient(change, places=WEIGHTS, kinds=(L2,)):
    """The penalties are in the loss as they are, and `change(part)` in the gradient."""
    return _apart(_as_it_is, change, places, kinds)


def _decay(factor):
    """`w -= factor(rate) * 2 * lambda * w` beside the optimizer's step, whose gradient has no penalty in it."""

    def install(network):
        decayed = [
            (name, part) for name, r in network.regularizers.items() for part in parts_of(r) if kind_of(part) is L2
        ]
        _in_gradient(Absent)(network)
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
    """`factor` times each of them."""
    return lambda r: Times(r, factor)


def _any_factor(named, install, places=EVERYWHERE, kinds=(L2,), **others):
    """`install(change)` for each change that has a name, and for any factor; and `others`."""
    choices = {name: install(change, places, kinds) for name, change in named.items()}
    return Factors(choices | others, lambda factor: install(_times(factor), places, kinds))


KERAS_CHOICE = {
    "l2.added": "none",
    "l2.constant": "float32",
    "l1.constant": "float32",
    "bias.penalty": "as_given",
    "l2.scale": "lambda",
    "l1.scale": "lambda",
    "l2.layers": "as_given",
    "l2.bias": "kernels",
    "l2.reported": "as_gradient",
    "l1.reported": "as_gradient",
    "activity.reported": "as_gradient",
    "l2.penalty": "whole",
    "l1.penalty": "whole",
    "activity.penalty": "whole",
    "l2.gradient": "as_loss",
    "l1.gradient": "as_loss",
    "activity.gradient": "as_loss",
    "l2.decay": "coupled",
    "weight_decay.in_gradient": "none",
    "weight_decay.kernels_in_gradient": "none",
    "weight_decay.coupled": "none",
    "weight_decay.kernels_coupled": "none",
    "weight_decay.decoupled": "none",
    "weight_decay.kernels_decoupled": "none",
    "activity.batch": "mean",
}
CHOICES = {
    "l2.added": _where_there_is_none(_added),
    "l2.constant": {"exact": _exact_constant(lambda r: L2(r.l2, _exact), L2)},
    "l1.constant": {"exact": _exact_constant(lambda r: L1(r.l1, _exact), L1)},
    "bias.penalty": {
        "absent": _minimised(Absent, BIASES, ANY),
        "in_loss": _in_gradient(Absent, BIASES, ANY),
        "in_gradient": _apart(Absent, _as_it_is, BIASES, ANY),
    },
    "l2.scale": {"over_batch": _over(_of_batch), "over_dataset": _over(_of_dataset)},
    "l1.scale": {"over_batch": _over(_of_batch, (L1,)), "over_dataset": _over(_of_dataset, (L1,))},
    "l2.layers": {
        "not_first": _without(lambda layers: layers[:1]),
        "not_second": _without(lambda layers: layers[1:-1][:1]),
        "not_last": _without(lambda layers: layers[-1:]),
        "only_first": _without(lambda layers: layers[1:]),
        "only_last": _without(lambda layers: layers[:-1]),
        "all": _on_every_kernel,
    },
    "l2.bias": {"included": _biases_with(lambda r: r), "in_gradient": _biases_in_gradient},
    "l2.reported": _any_factor({"absent": Absent, "half": _times(0.5)}, _told),
    "l1.reported": {"absent": _told(Absent, kinds=(L1,))},
    "activity.reported": {"absent": _told(Absent, OUTPUTS, ANY)},
    "l2.penalty": _any_factor({"half": _times(0.5), "absent": Absent}, _minimised),
    "l1.penalty": _any_factor({"half": _times(0.5), "absent": Absent}, _minimised, EVERYWHERE, (L1,)),
    "activity.penalty": _any_factor({"half": _times(0.5), "absent": Absent}, _minimised, OUTPUTS, ANY),
    "l2.gradient": _any_factor(
        {"half": _times(0.5), "double": _times(2), "absent": Absent},
        _in_gradient,
        WEIGHTS,
        over_batch=_gradient_over(_of_batch),
        over_dataset=_gradient_over(_of_dataset),
    ),
    "l1.gradient": {"absent": _in_gradient(Absent, kinds=(L1,))},
    "activity.gradient": {"absent": _in_gradient(Absent, OUTPUTS, ANY)},
    "l2.decay": {"decoupled": _decay(lambda rate: rate), "unscaled": _decay(lambda _: 1)},
    "weight_decay.in_gradient": _decay_in_gradient(_every_weight),
    "weight_decay.kernels_in_gradient": _decay_in_gradient(_kernels),
    "weight_decay.coupled": _coupled(_every_weight),
    "weight_decay.kernels_coupled": _coupled(_kernels),
    "weight_decay.decoupled": _decoupled(_every_weight),
    "weight_decay.kernels_decoupled": _decoupled(_kernels),
    "activity.batch": {"sum": _sum_over_batch},
}
