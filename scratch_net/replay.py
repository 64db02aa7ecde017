"""The local lane: steps taken apart, each operation given the reference's own inputs to it.

What differs here was made by that one operation; nothing is inherited. An operation whose inputs the reference did not
record is left out. `ref` and `before` are mappings from (phase, tensor, part) to arrays, of one step or, with the steps
as first axis, of many: no step waits for another here, so that all of them are computed at once.
"""

from __future__ import annotations

import numpy as np

from scratch_net.network import Gradients
from scratch_net.record import counter_words, loss_words


def replay(network, ref, before):
    """Everything `network` makes of the reference's inputs, in the vocabulary of a step. `before` is overwritten."""
    _place_state(network, before)
    x, y = network.batch(ref["batch", "x", "whole"], ref["batch", "y", "whole"])
    _place_inputs(network, ref, x)
    # Before the others: an engine of differences runs forward passes of its own.
    gradients = _gradients(network, y) if _inside_is_known(network) else {}
    return {
        **gradients,
        **_forward(network),
        **(_loss(network, y) if network.layers[-1].z is not None or not network.skips_activation else {}),
        "metrics": {name: metric(y, network.layers[-1].a) for name, metric in network.metrics.items()},
        **_update(network, ref),  # last: in place
    }


def _place_state(network, before):
    """Give the network the weights and slots that the reference's step began with."""
    weights = {name: before["update", name, "whole"] for name in network.weights}
    for layer in network.layers:
        layer.kernel, layer.bias = weights[f"{layer.name}/kernel"], weights.get(f"{layer.name}/bias")
    optimizer = network.optimizer
    slots = {name: before.get(("update", name, "whole")) for name in optimizer.slots}
    for name, slot in slots.items():
        if slot is None:  # the reference's optimizer remembers less: what it does not have is as at the start
            slots[name] = np.zeros_like(weights[name.rpartition("/")[0]])
    optimizer.slots, optimizer.iterations = slots, before["update", "optimizer/iterations", "whole"]


def _place_inputs(network, ref, x):
    """Give every layer the reference's x, z, a, da and dz, as if it had just computed them itself."""
    for layer in network.layers:
        layer.x = x
        layer.z = ref.get(("forward", f"{layer.name}/pre_activation", "whole"))
        layer.a = x = ref["forward", f"{layer.name}/output", "whole"]
        layer.da = ref.get(("gradient", f"{layer.name}/output", "whole"))
        layer.dz = ref.get(("gradient", f"{layer.name}/pre_activation", "whole"))


def _inside_is_known(network):
    """Whether the reference recorded what a backward pass needs; a Keras that fuses its layers does not."""
    recorded = all(layer.z is not None for layer in network.layers)
    return recorded and (network.differences is not None or all(layer.dz is not None for layer in network.layers))


def _forward(network):
    known = [layer for layer in network.layers if layer.z is not None]
    return {
        "pre_activation": {layer.name: layer.affine(layer.x) for layer in network.layers},
        "output": {layer.name: layer.activation.forward(layer.z) for layer in known},
    }


def _loss(network, y):
    return loss_words(network.reported(network.loss_of(y, network.layers[-1].a), y))


def _gradients(network, y):
    if network.differences is not None:
        gradients = network.gradients(y)
        parts = {"gradient/data": {name: gradients.data[name] for name in gradients.penalty}}
        return {"gradient": gradients.whole, **parts, "gradient/penalty": gradients.penalty}
    deltas, data = {}, {}
    # A reference that skips the last activation has no dL/da: a network that does not skip it goes on from its own.
    da, dz = network.loss_gradient(y, network.layers[-1].z, network.layers[-1].a)
    for layer in reversed(network.layers):
        if layer.activity_regularizer is not None:
            da = layer.penalized(da)
        if da is not None:
            deltas[f"{layer.name}/output"] = da
            through = layer.backward_activation(da if layer.da is None else layer.da, layer.z, layer.a)
            dz = through if dz is None else dz + through
        deltas[f"{layer.name}/pre_activation"] = dz
        data |= layer.backward_weights(layer.x, layer.dz)
        if layer is not network.layers[0]:
            da, dz = layer.backward_input(layer.dz), None
    penalty = network.penalty_gradients()
    words = {"gradient": deltas | network.add_penalties(data, penalty)}
    if not network.regularized_outputs:  # else a part of each penalty flows through the layers: seen in the free lane
        words |= {"gradient/data": {name: data[name] for name in penalty}, "gradient/penalty": penalty}
    return words


def _update(network, ref):
    whole = {name: ref["gradient", name, "whole"] for name in network.weights}
    network.update(Gradients(whole, {}, {}))
    optimizer = network.optimizer
    return {"optimizer": optimizer.slots | counter_words(optimizer, network.dtype), "weights": network.weights}
