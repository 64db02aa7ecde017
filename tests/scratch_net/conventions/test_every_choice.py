"""Laws over the tables: what a choice changes first, what it leaves alone, and that any of them go together."""

from __future__ import annotations

import numpy as np
import pytest

from parity.conventions import convention
from parity.protocol import PHASES, execution_order, keyed
from scratch_net.conventions import CHOICES, data, gradient, optimizer, precision
from tests.scratch_net.conventions.networks import NETWORKS, batches, last_layer, started, steps

FAMILIES = (precision, data, gradient, optimizer)
LAYERS = ("dense", "dense_1", "dense_2", "dense_3")

ALL = frozenset(NETWORKS)
LOGITS = frozenset({"softmax", "labels", "smoothed", "binary"})
NO_LOGITS = frozenset({"sigmoid", "probabilities"})  # a last activation that the loss does not skip
MOMENTUM = frozenset({"momentum", "nesterov"})
ADAM = frozenset({"adam", "amsgrad"})
RMSPROP = frozenset({"rmsprop", "centered"})
BIASED = ALL - {"no biases"}

# choice -> a network in which it is seen, the step and the tensor that it changes first there, and all networks that it
# changes anything in. The others compute bit for bit what they compute without it.
SEEN = {
    "precision.compute=float32": ("sgd", 1, "forward dense/pre_activation", ALL),
    "precision.inputs=float32": ("sgd", 1, "forward dense/pre_activation", ALL),
    "data.partial_batch=full_size": ("sgd", 3, "loss loss (data)", ALL),
    "data.partial_batch=gradient_full_size": ("sgd", 3, "gradient dense_2/output", ALL),
    "data.partial_batch=skipped": ("sgd", 3, "update optimizer/iterations", ALL),
    "data.labels=shifted": ("labels", 1, "loss loss (data)", ALL - {"one output"}),
    "data.labels=shifted_down": ("labels", 1, "loss loss (data)", ALL - {"one output"}),
    "data.scale=twice": ("sgd", 1, "forward dense/pre_activation", ALL),
    "data.scale=missing": ("sgd", 1, "forward dense/pre_activation", ALL),
    "forward.kernel=transposed": ("sgd", 1, "forward dense/pre_activation", ALL),
    "gradient.derivative=at_output": ("sigmoid", 1, "gradient dense_2/pre_activation", ALL - {"relu", "linear"}),
    "gradient.derivative=of_input": ("sgd", 1, "gradient dense_1/pre_activation", ALL - {"relu", "linear"}),
    "gradient.derivative=hidden_at_output": ("sigmoid", 1, "gradient dense_1/pre_activation", ALL - {"relu", "linear"}),
    "gradient.derivative=hidden_of_input": ("sigmoid", 1, "gradient dense_1/pre_activation", ALL - {"relu", "linear"}),
    "gradient.hidden_activation=missing": ("relu", 1, "gradient dense_1/pre_activation", ALL - {"linear"}),
    "gradient.hidden_activation=missing_in_first": ("relu", 1, "gradient dense/pre_activation", ALL - {"linear"}),
    "gradient.hidden_activation=missing_in_second": ("relu", 1, "gradient dense_1/pre_activation", ALL - {"linear"}),
    "gradient.hidden_activation=missing_in_third": ("deep", 1, "gradient dense_2/pre_activation", {"deep"}),
    "gradient.output_activation=missing": (
        "sigmoid",
        1,
        "gradient dense_2/pre_activation",
        {"sigmoid", "probabilities"},
    ),
    "gradient.softmax=diagonal": ("probabilities", 1, "gradient dense_2/pre_activation", {"probabilities"}),
    "gradient.shortcut=twice": ("binary", 1, "gradient dense_2/pre_activation", LOGITS),
    "gradient.shortcut=diagonal": ("labels", 1, "gradient dense_2/pre_activation", LOGITS - {"binary"}),
    "gradient.batch=sum": ("sgd", 1, "gradient dense_2/output", ALL),
    "gradient.relu_at_zero=one": ("relu", 1, "gradient dense_1/pre_activation", {"relu"}),
    "gradient.weights=after_update": ("adam", 1, "gradient dense_1/output", ALL),
    "gradient.index=shifted": ("relu", 1, "gradient dense/kernel", ALL),
    "gradient.bias=mean": ("sgd", 1, "gradient dense_2/bias", BIASED),
    "gradient.bias=not_averaged": ("sgd", 1, "gradient dense_2/bias", BIASED),
    "gradient.bias=missing": ("penalized biases", 1, "gradient dense_2/bias (data)", BIASED),
    "gradient.bias=scalar": ("one output", 1, "gradient dense_1/bias", BIASED),
    "gradient.kernel=mean": ("sgd", 1, "gradient dense_2/kernel (data)", ALL),
    "gradient.transposed=wrong": ("sgd", 1, "gradient dense/output", ALL),
    "optimizer.constants=exact": ("momentum", 2, "update dense/kernel/momentum", MOMENTUM | ADAM),
    "adam.epsilon=textbook": ("adam", 1, "update dense/kernel", ADAM),
    "adam.epsilon=inside": ("adam", 1, "update dense/kernel", ADAM),
    "adam.epsilon=textbook_inside": ("adam", 1, "update dense/kernel", ADAM),
    "adam.epsilon_value=1e-8": ("adam", 1, "update dense/kernel", ADAM),
    "adam.epsilon_scale=absent": ("adam", 1, "update dense/kernel", ADAM),
    "adam.betas=exchanged": ("adam", 1, "update dense/kernel/momentum", ADAM),
    "adam.bias_correction=missing": ("adam", 1, "update dense/kernel", ADAM),
    "adam.bias_correction=no_power": ("adam", 2, "update dense/kernel", ADAM),
    "adam.step=ahead": ("adam", 1, "update dense/kernel", ADAM),
    "adam.step=per_tensor": ("adam", 1, "update dense/bias", ADAM),
    "adam.step=per_tensor_backwards": ("adam", 1, "update dense/kernel", ADAM),
    "adam.step=per_tensor_kernels_first": ("adam", 1, "update dense/bias", ADAM),
    "momentum.factor=ignored": ("momentum", 2, "update dense/kernel", MOMENTUM),
    "momentum.dampening=dampened": ("momentum", 1, "update dense/kernel/momentum", MOMENTUM),
    "momentum.nesterov=on": ("momentum", 1, "update dense/kernel", {"momentum"}),
    "momentum.nesterov=off": ("nesterov", 1, "update dense/kernel", {"nesterov"}),
    "momentum.nesterov=twice": ("nesterov", 1, "update dense/kernel", {"nesterov"}),  # in step 1 by rounding alone
    "momentum.nesterov=lookahead": ("nesterov", 1, "update dense/kernel", {"nesterov"}),
    "momentum.rate=outside": ("momentum", 1, "update dense/kernel/momentum", MOMENTUM),
    "rmsprop.epsilon=outside": ("rmsprop", 1, "update dense/kernel", RMSPROP),
    "rmsprop.epsilon_value=1e-8": ("rmsprop", 1, "update dense/kernel", RMSPROP),
    "rmsprop.epsilon_scale=absent": ("rmsprop", 1, "update dense/kernel", RMSPROP),
    "rmsprop.rho=0.99": ("rmsprop", 1, "update dense/kernel/velocity", RMSPROP),
    "rmsprop.momentum=ignored": ("centered", 1, "update dense/kernel/momentum", {"centered"}),
    "rmsprop.centered=flipped": ("rmsprop", 1, "update dense/kernel/average_gradient", RMSPROP),
    "learning_rate.scale=over_batch": ("sgd", 1, "update dense/kernel", ALL),
    "learning_rate.scale=half": ("adam", 1, "update dense/kernel", ALL),
    "learning_rate.scale=double": ("rmsprop", 1, "update dense/kernel", ALL),
    "update.layers=not_first": ("sgd", 1, "update dense/kernel", ALL),
    "update.layers=not_second": ("sgd", 1, "update dense_1/kernel", ALL),
    "update.layers=not_third": ("deep", 1, "update dense_2/kernel", {"deep"}),
    "update.layers=not_last": ("sgd", 1, "update dense_2/kernel", ALL),
    "update.layers=only_first": ("sgd", 1, "update dense_1/kernel", ALL),
    "update.layers=only_last": ("sgd", 1, "update dense/kernel", ALL),
    "update.layers=no_biases": ("sgd", 1, "update dense/bias", BIASED),
    "update.biases=not_first": ("sgd", 1, "update dense/bias", BIASED),
    "update.biases=not_second": ("sgd", 1, "update dense_1/bias", BIASED),
    "update.biases=not_third": ("deep", 1, "update dense_2/bias", {"deep"}),
    "update.biases=not_last": ("sgd", 1, "update dense_2/bias", BIASED),
    "update.each=example": ("sgd", 1, "update optimizer/iterations", ALL),
}


@pytest.fixture(scope="module")
def keras_choices():
    """Every network's steps with Keras' choices."""
    return {name: steps(name, {})[0] for name in NETWORKS}


def _choices(text):
    return dict([text.split("=")])


def _differences(one, other):
    """(step, key) of all that two runs do not tell alike, to the last bit, in the order in which it came about."""
    found = []
    for ours, theirs in zip(one, other, strict=True):
        for key in execution_order({**ours.arrays, **theirs.arrays}, LAYERS):
            sides = [records.arrays[key] for records in (ours, theirs) if key in records.arrays]
            if len(sides) == 1 or sides[0].tobytes() != sides[1].tobytes():
                found.append((ours.first_step, key))
    return found


def test_every_choice_has_its_law():
    tables = [f"{code}={choice}" for family in FAMILIES for code, table in family.CHOICES.items() for choice in table]
    assert sorted(SEEN) == sorted(tables)


@pytest.mark.parametrize("choice", SEEN)
def test_what_a_choice_changes_first(choice, keras_choices):
    name, step, key, _ = SEEN[choice]
    (first_step, first_key), *_ = _differences(steps(name, _choices(choice))[0], keras_choices[name])
    assert (first_step, str(first_key)) == (step, key)


@pytest.mark.parametrize("choice", SEEN)
def test_first_is_the_phase_that_the_catalogue_names_first(choice, keras_choices):
    (code, other), *_ = _choices(choice).items()
    shows = convention(code).choice(other).shows
    for name in SEEN[choice][-1]:
        (_, key), *_ = _differences(steps(name, _choices(choice))[0], keras_choices[name])
        assert shows.startswith(key.phase), name
        assert key.phase in PHASES


@pytest.mark.parametrize("choice", SEEN)
def test_a_network_without_the_place_where_the_choice_is_made_is_the_same_network(choice, keras_choices):
    for name in ALL - SEEN[choice][-1]:
        assert not _differences(steps(name, _choices(choice))[0], keras_choices[name]), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("choice", SEEN)
def test_asked_again_a_network_computes_what_it_computed(choice, dtype):
    """In a replay of its own steps, one operation at a time, and when it takes them once more; in its own precision."""
    for name in SEEN[choice][-1]:
        records, side = steps(name, _choices(choice), dtype)
        for one in records:
            for said in (side.replay(one), side.retrace(one)):
                for key, array in keyed(said, last_layer(name), 1).items():
                    assert array.tobytes() == one.arrays[key].tobytes(), (name, one.first_step, key)
                    assert array.dtype == (np.int64 if key.tensor == "optimizer/iterations" else dtype), (name, key)


def test_in_float32_nothing_computes_in_float32_instead():
    for name in NETWORKS:
        assert not _differences(
            steps(name, {"precision.compute": "float32"}, "float32")[0], steps(name, {}, "float32")[0]
        )


@pytest.mark.parametrize("choice", SEEN)
def test_any_two_choices_go_together(choice):
    """Each on a network that shows the first, in a batch that is full and one that is not."""
    name, *_ = SEEN[choice]
    (code, _), *_ = _choices(choice).items()
    both = [batches(name)[index] for index in (0, 2)]
    for other, choices in CHOICES.items():
        for second in choices if other != code else ():
            side, before = started(name, {**_choices(choice), other: second})
            # What is divided by the size of gradients that are zero.
            no_numbers = {choice.rpartition(".")[2], f"{other}={second}"} == {
                "epsilon_scale=absent",
                "gradient.bias=missing",
            }
            for x, y in both:
                with np.errstate(all="ignore"):
                    said = keyed(side.step(x, y), last_layer(name))
                assert all(np.isfinite(array).all() for array in said.values()) is not no_numbers, (other, second)
            assert {key: w.shape for key, w in side.weights().items()} == {
                key: before[key].shape for key in side.weights()
            }
