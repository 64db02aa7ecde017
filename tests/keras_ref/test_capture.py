"""What is captured of a step is what Keras computed in it.

That looking changes nothing, bitwise against `fit`, is a law of all whole runs (tests/suite/test_runs.py).
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from keras_ref.adapter import KerasSide
from keras_ref.build import build, named_slots, named_weights
from keras_ref.capture import _tensor
from keras_ref.runtime import tf
from parity.config import Experiment
from parity.data import Schedule, load_dataset, taken

PRECISIONS = ("float32", "float64")

OPTIMIZERS = {
    "SGD": {"class_name": "SGD", "learning_rate": 0.1},
    "SGD momentum": {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9},
}

ONE_HOT = {"source": "classification", "samples": 11, "features": 5, "classes": 3, "one_hot": 3, "scale": 4.0}
LABELS = {"source": "classification", "samples": 11, "features": 5, "classes": 3, "scale": 4.0}
NUMBERS = {"source": "regression", "samples": 11, "features": 5, "targets": 3}

# data, loss, units and activation of the last layer
HEADS = {
    "mse": (NUMBERS, "mse", 3, "linear"),
    "sse": (NUMBERS, "sse", 3, "tanh"),
    "categorical": (ONE_HOT, "CategoricalCrossentropy", 3, "softmax"),
    "sparse": (LABELS, "SparseCategoricalCrossentropy", 3, "softmax"),
    "binary smoothed": (ONE_HOT, {"class_name": "BinaryCrossentropy", "label_smoothing": 0.2}, 3, "sigmoid"),
}

PENALTIES = {
    "l2 kernel, l1 bias": {"kernel_regularizer": {"l2": 0.01}, "bias_regularizer": {"l1": 0.02}},
    "activity": {"activity_regularizer": {"l1": 0.01, "l2": 0.02}, "kernel_regularizer": {"l1": 0.003}},
    "no bias": {"use_bias": False, "bias_regularizer": {"l2": 0.1}},
    "factors zero": {"activity_regularizer": {"l1": 0.0, "l2": 0.0}, "kernel_regularizer": {"l2": 0.0}},
}


def _experiment(optimizer, head, hidden, penalty, **settings):
    data, loss, units, activation = HEADS[head]
    return Experiment.model_validate(
        {
            "data": data,
            "layers": [
                {"units": 4, "activation": hidden, "bias_initializer": "RandomNormal", **PENALTIES[penalty]},
                {"units": units, "activation": activation, "bias_initializer": "RandomNormal", **PENALTIES[penalty]},
            ],
            "loss": loss,
            "optimizer": OPTIMIZERS[optimizer],
            "metrics": ["accuracy"],
            "batch_size": 4,  # 4 + 4 + 3 examples: the last batch is a partial one
            "epochs": 2,
            "seed": 7,
            **settings,
        }
    )


def _captured(experiment, precision):
    """The side's records of a whole run, and the model it was trained on."""
    dataset = load_dataset(experiment).astype(precision)
    side = KerasSide()
    weights = side.initial_weights(experiment, dataset.x.shape[1], precision)
    side.start(experiment, weights)
    records = [
        side.steps(dataset.x[chunk.rows], dataset.y[chunk.rows])
        for chunk in Schedule.of(experiment, len(dataset)).chunks(32)
    ]
    return records, side.capture.model


@pytest.fixture(autouse=True)
def _no_warning_about_logits():
    """Keras warns of from_logits after a softmax; these experiments mean it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*from_logits.*")
        yield


def _assert_same_bits(model, plain):
    for named in (named_weights, named_slots):
        expected = {name: np.array(variable) for name, variable in named(plain).items()}
        found = {name: np.array(variable) for name, variable in named(model).items()}
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            assert found[name].dtype == array.dtype, name
            assert found[name].tobytes() == array.tobytes(), (name, np.abs(found[name] - array).max())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("head", "penalty"), [("sparse", "activity"), ("binary smoothed", "l2 kernel, l1 bias"), ("mse", "no bias")]
)
def test_every_loss_and_metric_is_what_train_on_batch_reports(head, penalty, precision):
    experiment = _experiment("SGD momentum", head, "relu", penalty)
    dataset = load_dataset(experiment).astype(precision)
    records, model = _captured(experiment, precision)
    plain = build(experiment, dataset.x.shape[1], precision)
    reported, sizes = [], []
    for chunk in Schedule.of(experiment, len(dataset)).chunks(1):
        plain.reset_metrics()
        sizes.append(chunk.rows.shape[1])
        reported.append(plain.train_on_batch(dataset.x[chunk.rows[0]], dataset.y[chunk.rows[0]]))
    losses = np.concatenate([said["loss"] for said in records])
    accuracies = np.concatenate([said["metrics"]["accuracy"] for said in records])
    # Keras reports the running mean, here of one batch: loss * examples / examples, each rounded.
    sizes = np.array(sizes, precision)
    np.testing.assert_array_equal(losses * sizes / sizes, np.array([loss for loss, _ in reported], precision))
    np.testing.assert_array_equal(accuracies, np.array([accuracy for _, accuracy in reported], precision))
    _assert_same_bits(model, plain)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("head", ["categorical", "sparse"])
def test_batches_in_memory_that_tensorflow_shares_are_left_as_they_are_and_give_the_same_bits(head, precision):
    experiment = _experiment("SGD momentum", head, "sigmoid", "activity", batch_size=11, epochs=4)
    dataset, rows = load_dataset(experiment).astype(precision), np.tile(np.arange(11), (4, 1))
    found = []
    for take in (taken, lambda array, rows: array[rows]):
        x, y = take(dataset.x, rows), take(dataset.y, rows)
        shared = np.may_share_memory(np.asarray(memoryview(_tensor(x))), x)
        side = KerasSide()
        side.start(experiment, side.initial_weights(experiment, dataset.x.shape[1], precision))
        said = side.steps(x, y)
        found.append((shared, {word: array for word, array in said.items() if word not in {"x", "y"}}))
        assert x.tobytes() == dataset.x[rows].tobytes()
        assert y.tobytes() == dataset.y[rows].tobytes()
    assert [shared for shared, _ in found] == [True, False]
    one, other = (tf.nest.map_structure(lambda array: (array.dtype, array.tobytes()), said) for _, said in found)
    assert one == other


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_parts_add_up_to_the_whole(precision):
    records, _ = _captured(_experiment("SGD", "sse", "sigmoid", "activity"), precision)
    few = {"float32": 1e-6, "float64": 1e-15}[precision]
    for said in records:
        np.testing.assert_allclose(said["loss/data"] + said["loss/penalty"], said["loss"], rtol=few)
        np.testing.assert_allclose(sum(said["penalty"].values()), said["loss/penalty"], rtol=few)
        assert said["gradient/data"].keys() == {"dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"}
        for name, data in said["gradient/data"].items():
            whole, penalty = said["gradient"][name], said["gradient/penalty"][name]
            np.testing.assert_allclose(data + penalty, whole, rtol=10 * few, atol=few)


def test_a_penalty_of_factor_zero_gives_its_output_a_gradient_of_zero():
    """`L1L2(0, 0)` leaves the output of a softmax under a cross-entropy out of the graph of the total loss."""
    records, _ = _captured(_experiment("SGD", "categorical", "relu", "factors zero"), "float64")
    assert records[0]["gradient"]["dense_1/output"].shape == (2, 4, 3)
    assert not records[0]["gradient"]["dense_1/output"].any()


def test_the_gradient_applied_is_the_one_recorded():
    """Plain gradient descent: w after = w before - rate g, to the last bit."""
    experiment = _experiment("SGD", "categorical", "tanh", "activity")
    dataset = load_dataset(experiment).astype("float64")
    side = KerasSide()
    before = side.initial_weights(experiment, 5, "float64")
    side.start(experiment, before)
    said = side.step(dataset.x[:4], dataset.y[:4])
    for name, w in before.items():
        np.testing.assert_array_equal(said["weights"][name], w - said["gradient"][name] * 0.1)
