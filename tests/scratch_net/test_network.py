"""The whole network: backpropagation against central differences and against one example at a time."""

from __future__ import annotations

import numpy as np
import pytest

from parity.config import Experiment
from parity.data import load_dataset
from scratch_net.adapter import ScratchSide, build, initial_weights
from scratch_net.record import record_step

NUMBERS = {"source": "regression", "samples": 9, "features": 4, "targets": 3}
ONE_HOT = {"source": "classification", "samples": 9, "features": 4, "classes": 3, "one_hot": 3}
LABELS = {"source": "classification", "samples": 9, "features": 4, "classes": 3}
ALL = {
    "kernel_regularizer": {"l1": 0.02, "l2": 0.03},
    "bias_regularizer": {"l2": 0.1},
    "activity_regularizer": {"l1": 0.05, "l2": 0.07},
}

# data, loss, activations, settings of every layer
NETWORKS = {
    "mse": (NUMBERS, "mse", ("tanh", "linear"), {}),
    "mse, everything penalized": (NUMBERS, "mse", ("sigmoid", "tanh"), ALL),
    "sse of softmax": (ONE_HOT, "sse", ("softmax", "softmax"), {"kernel_regularizer": {"l2": 0.1}}),
    "categorical": (ONE_HOT, "CategoricalCrossentropy", ("tanh", "softmax"), {"kernel_regularizer": {"l2": 0.1}}),
    "categorical, penalized": (ONE_HOT, "CategoricalCrossentropy", ("tanh", "softmax"), ALL),
    "categorical of sigmoid": (ONE_HOT, "CategoricalCrossentropy", ("relu", "sigmoid"), {}),
    "sparse": (LABELS, "SparseCategoricalCrossentropy", ("sigmoid", "softmax"), ALL),
    "sparse from logits": (
        LABELS,
        {"class_name": "SparseCategoricalCrossentropy", "from_logits": True},
        ("tanh", "tanh"),
        ALL,
    ),
    "binary": (ONE_HOT, "BinaryCrossentropy", ("softmax", "sigmoid"), {"activity_regularizer": {"l2": 0.3}}),
    "binary from logits": (
        ONE_HOT,
        {"class_name": "BinaryCrossentropy", "from_logits": True, "label_smoothing": 0.1},
        ("tanh", "linear"),
        ALL,
    ),
    "no bias": (NUMBERS, "mse", ("tanh", "linear"), {"use_bias": False, "bias_regularizer": {"l2": 0.1}}),
}


def _network(name, **settings):
    data, loss, activations, layer = NETWORKS[name]
    layers = [
        {"units": units, "activation": activation, "bias_initializer": {"class_name": "RandomNormal"}, **layer}
        for units, activation in zip((5, 3), activations, strict=True)
    ]
    given = {"data": data, "layers": layers, "loss": loss, "optimizer": "SGD", "metrics": ["accuracy"], "seed": 3}
    experiment = Experiment.model_validate(given | settings)
    dataset = load_dataset(experiment)
    return build(experiment, initial_weights(experiment, 4, "float64")), dataset.x, dataset.y


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_the_slopes_of_the_loss_and_of_its_parts(name):
    network, x, y = _network(name)
    network.forward(x)
    gradients = network.gradients(y)
    found = {"whole": gradients.whole, "data": gradients.data, "penalty": gradients.penalty}
    found = {part: {weight: g.copy() for weight, g in of.items()} for part, of in found.items()}
    h = 1e-6
    for weight, w in network.weights.items():
        for index in np.ndindex(w.shape):
            losses = []
            for step in (h, -2 * h):
                w[index] += step
                loss = network.loss_of(y, network.forward(x))
                losses.append(np.array([loss.whole, loss.data, sum(loss.penalties.values())]))
            w[index] += h
            slopes = (losses[0] - losses[1]) / (2 * h)
            for part, slope in zip(("whole", "data", "penalty"), slopes, strict=True):
                expected = found[part][weight][index] if weight in found[part] else 0
                assert expected == pytest.approx(slope, abs=1e-7, rel=1e-6), (part, weight, index)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_of_a_batch_is_the_mean_over_its_examples(name):
    network, x, y = _network(name)
    network.forward(x)
    batch = {weight: g.copy() for weight, g in network.gradients(y).whole.items()}
    each = []
    for row in range(len(x)):
        network.forward(x[row : row + 1])
        each.append({weight: g.copy() for weight, g in network.gradients(y[row : row + 1]).whole.items()})
    for weight, g in batch.items():
        np.testing.assert_allclose(np.mean([one[weight] for one in each], axis=0), g, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_recorded_step_is_the_same_step(name):
    adam = {"class_name": "Adam", "learning_rate": 0.01}
    (plain, x, y), (recorded, _, _) = _network(name, optimizer=adam), _network(name, optimizer=adam)
    for _ in range(3):
        loss, said = plain.train_step(x, y), record_step(recorded, x, y)
        assert loss.whole == said["loss"]
        assert loss.data == said["loss/data"]
        assert loss.whole == pytest.approx(loss.data + said.get("loss/penalty", 0), rel=1e-15)
    for weight, w in plain.weights.items():
        assert w.tobytes() == recorded.weights[weight].tobytes()
        assert w.tobytes() == said["weights"][weight].tobytes()
    for slot, array in plain.optimizer.slots.items():
        assert array.tobytes() == said["optimizer"][slot].tobytes()


@pytest.mark.parametrize("name", ["categorical, penalized", "no bias"])
def test_steps_at_once_are_the_steps_one_by_one(name):
    data, loss, activations, layer = NETWORKS[name]
    layers = [{"units": 3, "activation": activation, **layer} for activation in activations]
    experiment = Experiment.model_validate({"data": data, "layers": layers, "loss": loss, "optimizer": "Adam"})
    dataset = load_dataset(experiment)
    x, y = dataset.x.reshape(3, 3, -1), dataset.y.reshape(3, 3, -1)
    together, single = ScratchSide(), ScratchSide()
    for side in (together, single):
        side.start(experiment, side.initial_weights(experiment, 4, "float64"))
    said = together.steps(x, y)
    for step in range(3):
        one = single.step(x[step], y[step])
        assert one["loss"] == said["loss"][step]
        for weight, w in one["weights"].items():
            np.testing.assert_array_equal(w, said["weights"][weight][step])
    for weight, w in together.weights().items():
        np.testing.assert_array_equal(w, single.weights()[weight])


def test_numbers_that_overflow_are_results_not_warnings():
    """A rate far too large: infinities and NaN, said as they are."""
    data, loss, activations, layer = NETWORKS["mse, everything penalized"]
    layers = [{"units": 3, "activation": "linear", **layer} for _ in activations]
    experiment = Experiment.model_validate(
        {"data": data, "layers": layers, "loss": loss, "optimizer": {"class_name": "SGD", "learning_rate": 1e30}}
    )
    dataset = load_dataset(experiment)
    side = ScratchSide()
    side.start(experiment, side.initial_weights(experiment, 4, "float32"))
    said = side.steps(*(np.stack([array.astype("float32")] * 8) for array in (dataset.x, dataset.y)))
    assert np.isfinite(said["loss"][0])
    assert not np.isfinite(said["loss"][-1])
