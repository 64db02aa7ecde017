"""Looking changes nothing: the captured run ends bitwise as plain `model.fit` of the same experiment does.

The oracle is Keras: `fit` and `train_on_batch` of a model built afresh from the same experiment.
"""

from __future__ import annotations

import itertools
import typing
import warnings

import numpy as np
import pytest

from keras_ref.adapter import KerasSide
from keras_ref.build import build, named_slots, named_weights
from keras_ref.runtime import keras
from parity.config import Experiment, losses, optimizers
from parity.config.layers import ActivationName
from parity.data import Schedule, load_dataset

PRECISIONS = ("float32", "float64")
ACTIVATIONS = typing.get_args(typing.get_args(ActivationName)[0])

OPTIMIZERS = {
    "SGD": {"class_name": "SGD", "learning_rate": 0.1},
    "SGD momentum": {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9},
    "SGD nesterov": {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
    "Adam": {"class_name": "Adam", "learning_rate": 0.01},
    "Adam amsgrad": {"class_name": "Adam", "learning_rate": 0.01, "amsgrad": True},
    "RMSprop": {"class_name": "RMSprop", "learning_rate": 0.01},
    "RMSprop momentum": {"class_name": "RMSprop", "learning_rate": 0.01, "momentum": 0.9},
    "RMSprop centered": {"class_name": "RMSprop", "learning_rate": 0.01, "centered": True},
    "RMSprop both": {"class_name": "RMSprop", "learning_rate": 0.01, "momentum": 0.9, "centered": True},
}

ONE_HOT = {"source": "classification", "samples": 11, "features": 5, "classes": 3, "one_hot": 3, "scale": 4.0}
LABELS = {"source": "classification", "samples": 11, "features": 5, "classes": 3, "scale": 4.0}
TWO = {"source": "classification", "samples": 11, "features": 5, "classes": 2, "scale": 4.0}
NUMBERS = {"source": "regression", "samples": 11, "features": 5, "targets": 3}

# data, loss, units and activation of the last layer
HEADS = {
    "mse": (NUMBERS, "mse", 3, "linear"),
    "mse of softmax": (ONE_HOT, "mse", 3, "softmax"),
    "sse": (NUMBERS, "sse", 3, "tanh"),
    "categorical": (ONE_HOT, "CategoricalCrossentropy", 3, "softmax"),
    "categorical of sigmoid": (ONE_HOT, "CategoricalCrossentropy", 3, "sigmoid"),
    "categorical of relu": (ONE_HOT, "CategoricalCrossentropy", 3, "relu"),
    "categorical from logits": (ONE_HOT, {"class_name": "CategoricalCrossentropy", "from_logits": True}, 3, "linear"),
    "categorical smoothed": (ONE_HOT, {"class_name": "CategoricalCrossentropy", "label_smoothing": 0.1}, 3, "softmax"),
    "sparse": (LABELS, "SparseCategoricalCrossentropy", 3, "softmax"),
    "sparse of relu": (LABELS, "SparseCategoricalCrossentropy", 3, "relu"),
    "sparse from logits": (LABELS, {"class_name": "SparseCategoricalCrossentropy", "from_logits": True}, 3, "linear"),
    "binary": (TWO, "BinaryCrossentropy", 1, "sigmoid"),
    "binary of relu": (TWO, "BinaryCrossentropy", 1, "relu"),
    "binary from logits": (TWO, {"class_name": "BinaryCrossentropy", "from_logits": True}, 1, "tanh"),
    "binary smoothed": (ONE_HOT, {"class_name": "BinaryCrossentropy", "label_smoothing": 0.2}, 3, "sigmoid"),
}

PENALTIES = {
    "none": {},
    "l2 kernel, l1 bias": {"kernel_regularizer": {"l2": 0.01}, "bias_regularizer": {"l1": 0.02}},
    "activity": {"activity_regularizer": {"l1": 0.01, "l2": 0.02}, "kernel_regularizer": {"l1": 0.003}},
    "both on both": {"kernel_regularizer": {"l1": 0.01, "l2": 0.02}, "bias_regularizer": {"l1": 0.03, "l2": 0.01}},
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


def _cover():
    """Every optimizer in every precision, and on the way every head, activation and penalty at least once."""
    runs = list(itertools.product(OPTIMIZERS, PRECISIONS))
    heads, hidden, penalties = (itertools.cycle(choices) for choices in (HEADS, ACTIVATIONS, PENALTIES))
    return [(*run, next(heads), next(hidden), next(penalties)) for run in runs]


COVER = _cover()


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


@pytest.mark.parametrize(("optimizer", "precision", "head", "hidden", "penalty"), COVER)
def test_a_captured_run_ends_bitwise_as_fit(optimizer, precision, head, hidden, penalty):
    experiment = _experiment(optimizer, head, hidden, penalty)
    dataset = load_dataset(experiment).astype(precision)
    _, model = _captured(experiment, precision)
    plain = build(experiment, dataset.x.shape[1], precision)
    plain.fit(dataset.x, dataset.y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    _assert_same_bits(model, plain)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_captured_run_shuffles_as_fit(precision):
    experiment = _experiment("Adam", "categorical", "tanh", "l2 kernel, l1 bias", shuffle=True)
    dataset = load_dataset(experiment).astype(precision)
    _, model = _captured(experiment, precision)
    plain = build(experiment, dataset.x.shape[1], precision)
    plain.fit(dataset.x, dataset.y, batch_size=4, epochs=2, shuffle=True, verbose=0)
    _assert_same_bits(model, plain)


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


def test_the_table_covers_everything():
    """A new optimizer, loss or activation has to come in here before it counts as captured."""
    assert {settings["class_name"] for settings in OPTIMIZERS.values()} == {c.__name__ for c in optimizers.CLASSES}
    experiments = [_experiment(optimizer, head, hidden, penalty) for optimizer, _, head, hidden, penalty in COVER]
    assert {e.loss.class_name for e in experiments} == {c.__name__ for c in losses.CLASSES}
    assert {e.layers[0].activation for e in experiments} == set(ACTIVATIONS)
    assert {head for _, _, head, _, _ in COVER} == set(HEADS)
    assert {penalty for *_, penalty in COVER} == set(PENALTIES)
    assert any(getattr(e.loss, "from_logits", False) for e in experiments)
    assert any(getattr(e.loss, "label_smoothing", 0) for e in experiments)
    assert keras.config.backend() == "tensorflow"
