"""An optimizer that has taken steps before: both sides go on with what it remembers, as Keras does.

The oracle is Keras' own `fit`, gone on with from the loaded model.
"""

from __future__ import annotations

import numpy as np
import pytest

import parity
from keras_ref.adapter import KerasSide
from keras_ref.from_model import read
from keras_ref.runtime import keras
from parity.config import load_experiment
from parity.errors import UsageError
from parity.judge import BEGINS_STATE
from parity.starter import write
from parity.trace import open_traces
from scratch_net.adapter import ScratchSide

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.1, momentum=0.5, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01),
    "rmsprop with all": lambda: keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
}
RANDOM = np.random.default_rng(8)
X, Y = RANDOM.normal(size=(22, 5)), RANDOM.normal(size=(22, 2))
BATCH, EPOCHS = 8, 2


@pytest.fixture(params=["float32", "float64"])
def precision(request):
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy().name
    keras.config.set_floatx(request.param)
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


def trained(make):
    """A model that was trained for four steps."""
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(4, "tanh", kernel_regularizer=keras.regularizers.L2(0.01)), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((5,)), *layers])
    model.compile(make(), "mse", jit_compile=False)
    fit(model, X[:16], Y[:16])
    return model


def fit(model, x=X, y=Y):
    dtype = keras.config.floatx()
    model.fit(x.astype(dtype), y.astype(dtype), batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)


def bits(arrays):
    return [np.asarray(array).tobytes() for array in arrays]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_was_saved_is_gone_on_with_bitwise_as_keras_does(name, precision, tmp_path):
    """From the files that `parity init --from` writes, to a trace in another folder."""
    trained(OPTIMIZERS[name]).save(tmp_path / "model.keras")
    write(tmp_path / "made", tmp_path / "model.keras")
    np.savez(tmp_path / "made" / "data.npz", x=X, y=Y)
    changes = {"data": {"source": "npz", "path": str(tmp_path / "made" / "data.npz")}, "batch_size": BATCH}
    changes |= {"steps": None, "epochs": EPOCHS, "precision": precision}
    experiment = load_experiment(tmp_path / "made" / "experiment.toml", changes.items())
    for side in ("keras", "scratch"):
        parity.record(experiment, out=tmp_path / "made" / side, side=side, progress=False)
    (tmp_path / "made" / "optimizer.npz").rename(tmp_path / "gone.npz")
    (tmp_path / "made").rename(tmp_path / "elsewhere")

    loaded = keras.models.load_model(tmp_path / "model.keras")
    began = [np.array(variable) for variable in loaded.optimizer.variables]
    fit(loaded)
    (trace,) = open_traces(tmp_path / "elsewhere" / "keras").values()
    last = trace.records(trace.manifest.files[-1]).state_after()
    told = [array for key, array in last.items() if key.tensor.count("/") == 1 and key.layer != "optimizer"]
    assert bits(told) == bits(loaded.weights)
    slots = read(loaded).state  # by name, from the model itself
    assert int(slots["optimizer/iterations"]) == 4 + EPOCHS * 3
    assert bits(array for key, array in last.items() if key.tensor in slots) == bits(
        slots[key.tensor] for key in last if key.tensor in slots
    )
    for side in ("keras", "scratch"):
        (trace,) = open_traces(tmp_path / "elsewhere" / side).values()
        assert sorted(bits(trace.state().values())) == sorted(bits(began))

    result = parity.compare(tmp_path / "elsewhere" / "keras", tmp_path / "elsewhere" / "scratch", progress=False)
    assert result.verdict is parity.Verdict.PARITY
    assert all(run.judge.audited for run in result.runs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_model_is_compared_from_where_its_optimizer_is(name):
    model = trained(OPTIMIZERS[name])
    result = parity.diff(model, X, Y, batch_size=BATCH, progress=False)
    assert (result.verdict, result.experiment.state.keys()) == (parity.Verdict.PARITY, read(model).state.keys())
    assert "optimizer state" not in {item.what for item in result.not_compared}
    # One that begins anew computes every operation as Keras does, and takes other steps all the same.
    why = name == "momentum"
    anew = parity.diff(model, X, Y, candidate=Forgets, batch_size=BATCH, steps=2, progress=False, explain=why)
    first = anew.first_divergence
    assert (anew.verdict, first.step, first.note) == (parity.Verdict.DIVERGED, 0, BEGINS_STATE)
    assert anew.meaning is None  # of where it begins, not of a formula
    assert not why or anew.diagnosis.unable.startswith("every step the candidate takes is what the reference takes")


class Forgets(ScratchSide):
    """It has the method, and does nothing with what it is given."""

    def set_state(self, state):
        pass


class Three:
    """Nothing but what every side has."""

    def __init__(self):
        self.side = ScratchSide()

    def start(self, experiment, weights):
        self.experiment = experiment
        self.side.start(experiment, weights)

    def step(self, x, y):
        return self.side.step(x, y)["loss"]

    def weights(self):
        return self.side.weights()


class Four(Three):
    def set_state(self, state):
        assert all(slot.dtype == np.dtype(keras.config.floatx()) for name, slot in state.items() if "kernel" in name)
        self.side.set_state(state)


@pytest.mark.parametrize("name", ["momentum", "adam", "rmsprop"])
def test_one_that_cannot_take_it_begins_afresh_like_the_reference_and_that_is_told(name):
    model = trained(OPTIMIZERS[name])
    for candidate, told in ((Three, True), (Four, False)):
        result = parity.diff(model, X, Y, candidate=candidate, batch_size=BATCH, precision="float32", progress=False)
        assert result.verdict is parity.Verdict.PARITY, candidate
        said = {item.what: item.why for item in result.not_compared}
        assert ("optimizer state" in said) is told
        if told:
            assert "Three has no set_state(state)" in said["optimizer state"]
            assert "initial_state has 4 steps" in said["optimizer state"]


def test_the_cause_is_found_from_there_too():
    model = trained(OPTIMIZERS["adam"])

    class Half(Four):
        def __init__(self):
            self.side = ScratchSide({"l2.penalty": "half"})

    result = parity.diff(model, X, Y, candidate=Half, batch_size=BATCH, precision="float32", progress=False)
    assert result.verdict is parity.Verdict.DIVERGED
    assert [str(cause) for cause in result.causes] == ["l2.penalty=half"]


def test_a_recording_of_one_that_cannot_take_it_says_what_to_do(tmp_path):
    model = trained(OPTIMIZERS["adam"])
    with pytest.raises(UsageError, match=r"Three has no set_state.*taken 4 steps.*--set initial_state=none"):
        parity.record(model, X, Y, side=Three, out=tmp_path, progress=False)
    (done, _) = parity.record(
        model, X, Y, side=Three, out=tmp_path, steps=1, changes={"initial_state": None}, progress=False
    )
    assert done.steps == 1


def test_a_recorded_reference_began_with_what_is_compared(tmp_path):
    model = trained(OPTIMIZERS["adam"])
    parity.record(model, X, Y, out=tmp_path / "went on", batch_size=BATCH, precision="float32", progress=False)
    parity.record(
        model, X, Y, out=tmp_path / "anew", batch_size=BATCH, precision="float32", progress=False,
        changes={"initial_state": None},
    )  # fmt: skip
    options = {"batch_size": BATCH, "precision": "float32", "progress": False}
    went_on = parity.diff(model, X, Y, reference=str(tmp_path / "went on"), **options)
    assert went_on.verdict is parity.Verdict.PARITY
    for given, reference in (({}, "anew"), ({"changes": {"initial_state": None}}, "went on")):
        with pytest.raises(UsageError, match="began with another optimizer state than is compared"):
            parity.diff(model, X, Y, reference=str(tmp_path / reference), **options, **given)
    result = parity.compare(tmp_path / "went on", tmp_path / "anew", progress=False)
    assert (result.verdict, result.first_divergence.step) == (parity.Verdict.DIVERGED, 0)
    assert result.first_divergence.note == BEGINS_STATE


@pytest.mark.parametrize("side", [KerasSide, ScratchSide])
def test_started_again_without_it_a_side_begins_afresh(side):
    given = read(trained(OPTIMIZERS["adam"]))
    experiment = load_experiment({"data": {"source": "memory"}, **given.settings})
    one = side()
    one.start(experiment, given.weights)
    anew = bits(one.initial_state().values())
    one.set_state(given.state)
    assert bits(one.initial_state().values()) != anew
    one.start(experiment, given.weights)
    assert bits(one.initial_state().values()) == anew
