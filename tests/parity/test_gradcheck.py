"""The gradient check: silent on true gradients, kinks and stiff losses; loud on wrong ones."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from parity.config import validate
from parity.data import load_dataset
from parity.errors import SideError
from parity.gradcheck import ELEMENTS, Outcome, check_gradients
from parity.lockstep import draw_weights, start_weights
from parity.report import as_json, markdown, terminal
from parity.run import diff
from parity.sides import load_side

TABLE = {
    "data": {"source": "classification", "features": 5, "samples": 24, "classes": 3, "one_hot": 3},
    "layers": [
        {"units": 7, "activation": "tanh", "kernel_regularizer": {"l1": 0.01, "l2": 0.02}},
        {"units": 3, "activation": "softmax", "activity_regularizer": "l2"},
    ],
    "loss": "categorical_crossentropy",
    "optimizer": "sgd",
    "batch_size": 8,
}
SIDES = """
import numpy as np
from scratch_net.adapter import ScratchSide

class _Said(ScratchSide):
    def steps(self, x, y):
        said = super().steps(x, y)
        self.change(said, said["gradient"])
        return said

class OffByAMillionth(_Said):
    "One element of one tensor, and by 1e-6 of itself."
    def change(self, said, gradient):
        kernel = gradient["dense_1/kernel"].reshape(len(said["loss"]), -1)
        largest = np.abs(kernel).argmax(axis=1)
        kernel[np.arange(len(kernel)), largest] *= 1 + 1e-6

class DoublesItsBias(_Said):
    def change(self, said, gradient):
        gradient["dense/bias"] *= 2

class ForgetsThePenalty(_Said):
    "The loss has its penalties, the gradient has not."
    def change(self, said, gradient):
        gradient.update(said["gradient/data"])

class NeverABias(_Said):
    def change(self, said, gradient):
        gradient["dense_1/bias"][...] = 0

class InFloat32(ScratchSide):
    "Computes in float32 whatever it is given."
    def start(self, experiment, weights):
        super().start(experiment, {name: array.astype(np.float32) for name, array in weights.items()})
    def step(self, x, y):
        said = super().step(x.astype(np.float32), y.astype(np.float32))
        return {"loss": said["loss"], "gradient": said["gradient"]}

class Curved(ScratchSide):
    "24 + 4 w + c max(w, 0)**2, with c the learning rate."
    def start(self, experiment, weights):
        super().start(experiment, weights)
        self.w, self.c = weights["dense/kernel"], experiment.optimizer.learning_rate
    def step(self, x, y):
        loss = 24 + 4.1 * self.w + self.c * np.maximum(self.w, 0) ** 2
        return {"loss": loss[0, 0], "gradient": {"dense/kernel": 4.1 + 2 * self.c * np.maximum(self.w, 0)}}

class LossAlone(ScratchSide):
    def step(self, x, y):
        return float(super().step(x, y)["loss"])

class NoGradient(ScratchSide):
    def step(self, x, y):
        return {"loss": super().step(x, y)["loss"]}

class Moody(ScratchSide):
    times = 0
    def step(self, x, y):
        Moody.times += 1
        said = super().step(x, y)
        return {**said, "loss": said["loss"] + 1e-9 * Moody.times}

class Raises(ScratchSide):
    def step(self, x, y):
        raise ValueError("no")
"""


@pytest.fixture
def side(tmp_path):
    (tmp_path / "sides.py").write_text(SIDES)
    return lambda name: f"{tmp_path}/sides.py:{name}"


def checked(candidate: str = "scratch", *, reference: str = "scratch", **settings):
    experiment = validate({**TABLE, **settings})
    dataset = load_dataset(experiment).astype("float64")
    sides = load_side(reference), load_side(candidate)
    inputs = dataset.x.shape[1]
    drawn = [draw_weights(side, experiment, inputs, "float64") for side in sides]
    return check_gradients(experiment, sides, dataset, start_weights(experiment, drawn, inputs, "float64"))


def candidate(*arguments, **settings):
    return checked(*arguments, **settings).sides[1]


def test_a_true_gradient_agrees_and_everything_small_is_checked():
    side = candidate()
    assert {element.outcome for element in side.elements} == {Outcome.AGREES}
    assert max(element.used for element in side.elements) > 1e-3
    assert dict(side.sizes) == {"dense_1/kernel": 21, "dense_1/bias": 3, "dense/kernel": 35, "dense/bias": 7}
    counted = [sum(e.tensor == tensor for e in side.elements) for tensor, _ in side.sizes]
    assert counted == [min(size, ELEMENTS) for _, size in side.sizes]
    # The bound is worth something: gradients of the size of 1 are held to eight digits.
    assert max(element.bound for element in side.elements) < 1e-8


def test_the_same_seed_draws_the_same_sample():
    assert checked() == checked()
    other = [(e.tensor, e.index) for e in checked(seed=1).sides[0].elements]
    assert other != [(e.tensor, e.index) for e in checked().sides[0].elements]


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("OffByAMillionth", "dense_1/kernel"),
        ("DoublesItsBias", "dense/bias"),
        ("ForgetsThePenalty", "dense/kernel"),
        ("NeverABias", "dense_1/bias"),
    ],
)
def test_a_wrong_gradient_is_found_where_it_is(name, tensor, side):
    check = checked(side(name), optimizer={"class_name": "SGD", "learning_rate": 0.0})
    reference, wrong = check.sides
    assert {element.outcome for element in reference.elements} == {Outcome.AGREES}
    found = wrong.of(Outcome.WRONG)
    assert tensor in {element.tensor for element in found}
    if name != "ForgetsThePenalty":  # an output's penalty is forgotten everywhere
        assert {element.tensor for element in found} == {tensor}
    assert wrong.worst in found


def test_a_side_in_float32_is_held_to_what_float32_can_tell(side):
    found = candidate(side("InFloat32"))
    assert {element.outcome for element in found.elements} == {Outcome.AGREES}
    assert 1e-7 < max(element.bound for element in found.elements) < 1e-2


@pytest.mark.parametrize("initializer", ["Zeros", "he_normal"])
@pytest.mark.parametrize("seed", range(4))
def test_kinks_are_no_wrong_gradients(initializer, seed):
    """All of relu, l1 and clipping; with zeros every unit of the first step stands on the kink."""
    hidden = {"units": 40, "activation": "relu", "kernel_initializer": initializer, "kernel_regularizer": "l1"}
    settings = {
        "data": TABLE["data"] | {"seed": seed, "samples": 96},
        "layers": [{**hidden, "bias_regularizer": "l1"}, hidden, {"units": 3, "activation": "sigmoid"}],
        "batch_size": 96,
        "seed": seed,
    }
    side = candidate(**settings)
    assert side.of(Outcome.WRONG) == []
    assert side.of(Outcome.AGREES)
    side = candidate(**{**settings, "loss": "mse"})
    assert side.of(Outcome.WRONG) == []


def test_a_kink_that_nothing_takes_for_a_slope_is_told():
    """One relu at exactly 0: the slopes are 0 and -4, Keras and the NumPy network take 0."""
    side = candidate(
        data={"source": "arrays", "x": [2.0], "y": [1.0]},
        layers=[{"units": 1, "activation": "relu", "kernel_initializer": "Zeros", "use_bias": False}],
        loss="mse",
    )
    (element,) = side.elements
    assert element.outcome is Outcome.NOT_DIFFERENTIABLE
    assert (element.analytic, element.left) == (0, 0)
    assert element.right == pytest.approx(-4, abs=1e-6)


def test_a_loss_whose_curvature_jumps_is_no_wrong_gradient(side):
    """As relu on its kink where the residual is 0: the slope is smooth, and D(h) is off by the first power of h."""
    for curvature in 10.0 ** np.arange(-3, 3, 0.25):
        found = candidate(
            side("Curved"),
            data={"source": "arrays", "x": [2.0], "y": [1.0]},
            layers=[{"units": 1, "kernel_initializer": "Zeros", "use_bias": False}],
            loss="mse",
            optimizer={"class_name": "SGD", "learning_rate": curvature},
        )
        assert [element.outcome for element in found.elements] == [Outcome.AGREES]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("loss", ["mse", "categorical_crossentropy"])
def test_inputs_of_any_size(scale, loss):
    side = candidate(data=TABLE["data"] | {"scale": scale}, loss=loss)
    assert side.of(Outcome.WRONG) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("LossAlone", "a loss alone"),
        ("NoGradient", "does not say its gradient"),
        ("Moody", "says two losses"),
    ],
)
def test_a_side_that_cannot_be_checked_says_why(name, why, side):
    reference, found = checked(side(name)).sides
    assert why in found.why_not
    assert not found.elements
    assert reference.elements


def test_a_side_that_raises_is_named(side):
    with pytest.raises(SideError, match="raised ValueError in step in the gradient check: no"):
        checked(side("Raises"))


def test_a_loss_without_bounds_is_not_checked():
    found = candidate(data=TABLE["data"] | {"scale": 1e-200}, loss="mse", layers=[{"units": 3}])
    assert "not finite" in found.why_not


@pytest.mark.usefixtures("runtime")
def test_keras_agrees_with_its_own_loss():
    """Also where it is started anew: its slots and its step counter are those of a first step again."""
    experiment = validate({**TABLE, "optimizer": "adam", "steps": 3, "precision": "float64"})
    result = diff(experiment, gradcheck=True)
    for side in result.gradcheck.sides:
        assert {element.outcome for element in side.elements} == {Outcome.AGREES}
    keras = load_side("keras")
    dataset = load_dataset(experiment).astype("float64")
    weights = start_weights(experiment, [draw_weights(keras, experiment, 5, "float64")], 5, "float64")
    runs = []
    for _ in range(2):
        keras.side.start(experiment, weights)
        state = keras.side.initial_state()
        runs.append(
            [state, keras.side.steps(dataset.x[None, :8], dataset.y[None, :8])["weights"], keras.side.weights()]
        )
    for one, other in zip(*runs, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_every_report_tells_it(side):
    result = diff(
        validate({**TABLE, "steps": 2, "precision": "float64"}),
        reference="scratch",
        candidate=side("OffByAMillionth"),
        gradcheck=True,
        explain=False,
    )
    (element, *others) = result.gradcheck.sides[1].of(Outcome.WRONG)
    assert others == []
    said = f"the candidate's gradient is not that of its own loss: {element.name} is "
    for report in (terminal, markdown):
        stream = io.StringIO()
        report.write(result, stream)
        text = " ".join(stream.getvalue().replace("\\", "").split())
        assert said in text, report
        assert "reference" in text
        assert f"at most {ELEMENTS} elements (seed 0)" in text
    found = json.loads(json.dumps(as_json.as_dict(result)))["gradcheck"]
    assert [side["agrees"] for side in found["sides"]] == [True, False]
    assert (found["seed"], found["elements_per_tensor"]) == (0, ELEMENTS)
    wrong = [e for e in found["sides"][1]["elements"] if e["outcome"] == "wrong"]
    assert [tuple(e["index"]) for e in wrong] == [element.index]
    assert np.isclose(wrong[0]["analytic"] / wrong[0]["numeric"], 1 + 1e-6, rtol=1e-8)


def test_it_is_only_made_when_asked_for():
    result = diff(validate({**TABLE, "steps": 1, "precision": "float64"}), reference="scratch")
    assert result.gradcheck is None
    assert as_json.as_dict(result)["gradcheck"] is None


def test_it_is_the_same_whether_causes_are_looked_for_or_not():
    experiment = validate({**TABLE, "steps": 2, "precision": "float32"})
    of = [
        diff(experiment, reference="scratch", candidate="scratch[l2.penalty=half]", gradcheck=True, explain=explain)
        for explain in (True, False)
    ]
    assert of[0].diagnosis is not None
    assert of[0].gradcheck == of[1].gradcheck
