"""One training step with everything it computed on the way, in the vocabulary that all sides speak."""

from __future__ import annotations

import numpy as np


def record_step(network, x, y):
    """`Network.train_step`, told in full. The arrays are the network's own: valid until its next step."""
    x, y = network.batch(x, y)
    output = network.forward(x)
    loss = network.loss_of(y, output)
    gradients = network.gradients(y)
    network.update(gradients)
    loss = network.reported(loss, y)
    parts = gradients.penalty
    return {
        "pre_activation": {layer.name: layer.z for layer in network.layers},
        "output": {layer.name: layer.a for layer in network.layers},
        **loss_words(loss),
        "gradient": gradients.whole | delta_words(network),
        "gradient/data": {name: gradients.data[name] for name in parts},
        "gradient/penalty": parts,
        "optimizer": network.optimizer.slots | counter_words(network.optimizer, network.dtype),
        "weights": network.weights,
        "metrics": {name: metric(y, output) for name, metric in network.metrics.items()},
    }


def loss_words(loss):
    """A `Loss`: whole, data, and what each penalty adds."""
    words = {"loss": loss.whole, "loss/data": loss.data}
    if loss.penalties:
        words |= {"loss/penalty": sum(loss.penalties.values()), "penalty": loss.penalties}
    return words


def delta_words(network):
    """dL/da and dL/dz of every layer, as the last backward pass left them."""
    named = {}
    for layer in network.layers:
        named |= {} if layer.da is None else {f"{layer.name}/output": layer.da}
        named |= {} if layer.dz is None else {f"{layer.name}/pre_activation": layer.dz}
    return named


def counter_words(optimizer, dtype):
    iterations = np.asarray(optimizer.iterations, np.int64)
    rate = np.full(iterations.shape, optimizer.learning_rate, dtype)
    return {"optimizer/iterations": iterations, "optimizer/learning_rate": rate}
