"""A model that somebody has: read for what it is, trained as `fit` trains it, and given back as it was.

The oracle is Keras: `fit` of the same model, and what Keras' own loader makes of the same file.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import zipfile

import h5py
import numpy as np
import pytest

import parity
from keras_ref.adapter import KerasSide
from keras_ref.from_model import read
from keras_ref.runtime import keras, tf
from parity.api import _of_model
from parity.config.given import ModelExperiment, Opaque
from parity.errors import UsageError

layers, losses, optimizers, regularizers = keras.layers, keras.losses, keras.optimizers, keras.regularizers

RANDOM = np.random.default_rng(5)
VECTORS, IMAGES, WORDS = RANDOM.normal(size=(22, 5)), RANDOM.normal(size=(22, 6, 6, 2)), RANDOM.integers(0, 9, (22, 4))
NUMBERS, LABELS = RANDOM.normal(size=(22, 3)), RANDOM.integers(0, 3, 22)


def squared(y, p):
    return keras.ops.mean(keras.ops.square(y - p), axis=-1)


def own_penalty(w):
    return 0.01 * keras.ops.sum(keras.ops.abs(w) ** 3)


class Scaled(layers.Layer):
    """A layer of one's own, which Keras cannot serialise."""

    def __init__(self, function):
        super().__init__(name="scaled")
        self.function = function
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x):
        return self.function(x) * self.scale


class Dense(layers.Dense):
    """A class of one's own with the name of one of Keras'."""


class L2(regularizers.L2):
    """The same; it halves."""

    def __call__(self, w):
        return super().__call__(w) / 2


class Adam(optimizers.Adam):
    """The same."""


def sequential(*parts, inputs=(5,), optimizer="sgd", loss="mse", **compiled):
    model = keras.Sequential([keras.Input(inputs), *parts], name="mine")
    model.compile(optimizer, loss, **compiled)
    return model


def functional():
    x = keras.Input((5,))
    hidden = layers.Dense(4, activation="relu", name="low")(x)
    model = keras.Model(x, layers.Dense(3, name="top")(layers.Concatenate()([hidden, x])), name="mine")
    model.compile("adam", "mse")
    return model


SCHEDULE = optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)

# What no experiment can say: how the model is made, its data, and what is said of it.
OPAQUE = {
    "conv": (
        lambda: sequential(
            layers.Conv2D(3, 3, activation="relu", kernel_regularizer="l2", name="see"),
            layers.MaxPooling2D(name="pool"),
            layers.Flatten(name="flat"),
            layers.Dense(3, name="top"),
            inputs=(6, 6, 2),
            optimizer="adam",
        ),
        (IMAGES, NUMBERS),
        ["layer 'see' (Conv2D)", "layer 'pool' (MaxPooling2D)", "layer 'flat' (Flatten)"],
    ),
    "dropout and normalization": (
        lambda: sequential(
            layers.Dense(4, name="low"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.4),
            layers.Dense(3, name="top"),
        ),
        (VECTORS, NUMBERS),
        ["layer 'norm' (BatchNormalization)", "(Dropout)"],
    ),
    "embedding, with sparse labels": (
        lambda: sequential(
            layers.Embedding(9, 4, name="words"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3, activation="softmax"),
            inputs=(4,),
            optimizer=optimizers.SGD(0.1),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        ),
        (WORDS, LABELS),
        ["layer 'words' (Embedding)"],
    ),
    "recurrent": (
        lambda: sequential(layers.Reshape((5, 1)), layers.LSTM(3, name="memory"), layers.Dense(3)),
        (VECTORS, NUMBERS),
        ["layer 'memory' (LSTM)"],
    ),
    "loss of one's own": (
        lambda: sequential(layers.Dense(3), loss=squared),
        (VECTORS, NUMBERS),
        ["loss: squared is not Keras' own"],
    ),
    "a lambda": (
        lambda: sequential(layers.Dense(3, name="top"), loss=lambda y, p: keras.ops.mean((y - p) ** 4)),
        (VECTORS, NUMBERS),
        ["loss: a lambda is not Keras' own"],
    ),
    "another loss": (lambda: sequential(layers.Dense(3), loss="mae"), (VECTORS, NUMBERS), ["unknown loss 'mae'"]),
    "schedule": (
        lambda: sequential(layers.Dense(3), optimizer=optimizers.SGD(SCHEDULE)),
        (VECTORS, NUMBERS),
        ["learning_rate follows the schedule ExponentialDecay"],
    ),
    "clipping": (
        lambda: sequential(layers.Dense(3), optimizer=optimizers.Adam(0.1, clipnorm=0.1)),
        (VECTORS, NUMBERS),
        ["optimizer: clipnorm: received 0.1; not offered"],
    ),
    "moving average of weights": (
        lambda: sequential(layers.Dense(3), optimizer=optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=2)),
        (VECTORS, NUMBERS),
        ["use_ema"],
    ),
    "another optimizer": (
        lambda: sequential(layers.Dense(3), optimizer=optimizers.Adagrad(0.1)),
        (VECTORS, NUMBERS),
        ["unknown optimizer 'Adagrad'"],
    ),
    "an optimizer of one's own": (
        lambda: sequential(layers.Dense(3), optimizer=Adam(0.1)),
        (VECTORS, NUMBERS),
        ["optimizer: Adam is not Keras' own"],
    ),
    "a penalty of one's own": (
        lambda: sequential(layers.Dense(3, kernel_regularizer=own_penalty, name="top")),
        (VECTORS, NUMBERS),
        ["layer 'top' (Dense): own_penalty is not Keras' own"],
    ),
    "a penalty called as Keras'": (
        lambda: sequential(layers.Dense(3, kernel_regularizer=L2(0.1), name="top")),
        (VECTORS, NUMBERS),
        ["layer 'top' (Dense): L2 is not Keras' own"],
    ),
    "a layer called as Keras'": (
        lambda: sequential(Dense(3, name="top")),
        (VECTORS, NUMBERS),
        ["layer 'top' (Dense): Dense is not Keras' own"],
    ),
    "a layer that cannot be serialised": (
        lambda: sequential(Scaled(keras.ops.tanh), layers.Dense(3)),
        (VECTORS, NUMBERS),
        ["layer 'scaled' (Scaled): Scaled is not Keras' own"],
    ),
    "another activation": (
        lambda: sequential(layers.Dense(4, activation="gelu", name="low"), layers.Dense(3)),
        (VECTORS, NUMBERS),
        ["layer 'low' (Dense): activation: received 'gelu'"],
    ),
    "a frozen layer": (
        lambda: sequential(layers.Dense(4, trainable=False, name="low"), layers.Dense(3)),
        (VECTORS, NUMBERS),
        ["layer 'low' (Dense): trainable: received False"],
    ),
    "a layer twice": (
        lambda: sequential(*[layers.Dense(5, activation="tanh", name="low")] * 2, layers.Dense(3, name="top")),
        (VECTORS, NUMBERS),
        ["layer 'low': is used more than once"],
    ),
    "functional": (functional, (VECTORS, NUMBERS), ["the model is a Functional, not a Sequential"]),
}

# What an experiment can say, in the spellings that Keras has for it.
EXPRESSIBLE = {
    "plain": lambda: sequential(layers.Dense(4, activation="relu"), layers.Dense(3)),
    "penalties": lambda: sequential(
        layers.Dense(4, activation="tanh", kernel_regularizer=regularizers.L1L2(0.01, 0.02), bias_regularizer="l1"),
        layers.Dense(3, activity_regularizer=regularizers.L2(0.1), use_bias=False),
        optimizer=optimizers.RMSprop(0.01, momentum=0.5),
    ),
    "a loss as function": lambda: sequential(layers.Dense(3), loss=losses.mean_squared_error, optimizer="adam"),
    "a loss as object": lambda: sequential(layers.Dense(3), loss=losses.MeanSquaredError(), metrics=["accuracy"]),
    "an initializer that is not offered": lambda: sequential(layers.Dense(3, kernel_initializer="orthogonal")),
    "flattened inputs": lambda: sequential(layers.Flatten(), layers.Dense(3), inputs=(5,)),
}


def made(make):
    keras.utils.set_random_seed(3)
    return make()


def everything(model):
    """All that training could change in a model."""
    kept = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    return [variable.numpy().tobytes() for variable in kept]


def of_process():
    return (
        keras.config.floatx(),
        keras.config.dtype_policy().name,
        random.getstate(),
        pickle.dumps(np.random.get_state()),  # noqa: NPY002  # it is this one that Keras seeds,
    )


def assert_same_bits(found, model):
    for (name, array), variable in zip(found.items(), model.weights, strict=True):
        assert array.tobytes() == variable.numpy().tobytes(), (name, np.abs(array - variable.numpy()).max())


# What cannot be said ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPAQUE)
def test_the_model_as_a_side_ends_bitwise_as_fit(name):
    make, (x, y), _ = OPAQUE[name]
    x = x.astype("float32")
    y = y.astype("float32") if y.dtype.kind == "f" else y
    given = read(made(make))
    given.side.start(None, given.weights)
    for _ in range(2):
        for at in range(0, len(x), 8):  # 8, 8, 6
            given.side.step(x[at : at + 8], y[at : at + 8])
    plain = made(make)
    plain.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert_same_bits(given.side.weights(), plain)
    assert not np.array_equal(given.weights[next(iter(given.weights))], plain.get_weights()[0]) or "frozen" in name


@pytest.mark.parametrize("name", OPAQUE)
def test_what_an_experiment_cannot_say_is_said_by_name(name):
    make, _, expected = OPAQUE[name]
    given = read(made(make))
    for said in expected:
        assert any(said in what for what in given.inexpressible), given.inexpressible
    known = {type(part).__name__ for part in (given.settings["loss"], given.settings["optimizer"])} - {"Opaque"}
    assert known or any(what.startswith(("loss", "optimizer")) for what in given.inexpressible)


class Twin:
    """A candidate that is the same model once more."""

    def __init__(self, make, factor=1.0):
        self.given, self.factor = read(made(make)), factor

    def start(self, experiment, weights):
        self.given.side.start(experiment, weights)

    def step(self, x, y):
        said = self.given.side.step(x, y)
        return {**said, "loss": said["loss"] * np.float32(self.factor)}

    def weights(self):
        return self.given.side.weights()


@pytest.mark.parametrize("name", ["conv", "dropout and normalization", "a lambda", "a layer twice", "functional"])
def test_a_model_is_compared_with_a_candidate_of_ones_own_and_left_as_it_was(name):
    make, (x, y), _ = OPAQUE[name]
    model = made(make)
    before, process = everything(model), of_process()
    tight = [{"rtol": 0, "atol": 0}]
    same = parity.diff(model, x, y, candidate=Twin(make), batch_size=8, tolerance=tight, progress=False)
    assert same.verdict is parity.Verdict.PARITY, same.first_divergence
    assert (same.steps_compared, isinstance(same.experiment, ModelExperiment)) == (3, True)
    other = parity.diff(model, x, y, candidate=Twin(make, 1.001), batch_size=8, tolerance=tight, progress=False)
    assert (other.verdict, str(other.first_divergence.key)) == (parity.Verdict.DIVERGED, "loss loss")
    assert "the NumPy network" in other.diagnosis.unable
    assert other.causes == ()
    assert everything(model) == before
    assert of_process() == process
    for report in ("json", "markdown", "terminal", "csv"):
        from parity.report import FORMATS, importlib

        importlib.import_module(FORMATS[report].module).write(other, io.StringIO())


def test_without_tolerances_nothing_is_judged_and_it_is_said_why():
    make, (x, y), _ = OPAQUE["conv"]
    result = parity.diff(made(make), x, y, candidate=Twin(make), progress=False)
    assert result.verdict is parity.Verdict.CANNOT_JUDGE
    told = {item.what: item.why for item in result.not_compared}
    assert "layer 'see' (Conv2D)" in told["free lane"]
    assert (result.frame["absolute"] == 0).all()


def test_a_weight_that_no_tolerance_names_is_no_parity():
    make, (x, y), _ = OPAQUE["conv"]
    some = [{"tensor": "see/*", "rtol": 0, "atol": 0}, {"tensor": "loss", "rtol": 0, "atol": 0}]
    result = parity.diff(made(make), x, y, candidate=Twin(make), tolerance=some, progress=False)
    assert result.verdict is parity.Verdict.CANNOT_JUDGE


def test_a_model_is_given_back_when_the_candidate_raises():
    make, (x, y), _ = OPAQUE["dropout and normalization"]

    class Raises(Twin):
        def step(self, x, y):
            super().step(x, y)
            raise RuntimeError("no luck")

    model = made(make)
    before = everything(model)
    crash = parity.diff(model, x, y, candidate=Raises(make), progress=False).crash
    assert crash is not None
    assert "no luck" in crash.message
    assert everything(model) == before


def test_what_a_model_does_not_take_is_said_before_anything_is_trained():
    make, (x, y), _ = OPAQUE["conv"]
    with pytest.raises(UsageError, match=r"y of shape \(2,\)"):
        parity.diff(made(make), x, y[:, :2], candidate=Twin(make))
    with pytest.raises(UsageError, match=r"x holds examples of shape \(6, 6\); the model 'mine' takes \(6, 6, 2\)"):
        parity.diff(made(make), x[..., 0], y, candidate=Twin(make))
    with pytest.raises(UsageError, match="computes in float32"):
        parity.diff(made(make), x, y, candidate=Twin(make), precision="float64")
    for built_in in ("scratch", "keras", "scratch[l2.penalty=half]"):
        with pytest.raises(UsageError, match=r"layer 'see' \(Conv2D\).*candidate of your own"):
            parity.diff(made(make), x, y, candidate=built_in)


# What can be said -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_the_twin_of_a_model_ends_bitwise_as_its_fit(name):
    model = made(EXPRESSIBLE[name])
    given = read(model)
    assert given.inexpressible == ()
    experiment = _of_model(given, (VECTORS, NUMBERS), [])
    side = KerasSide()
    side.start(experiment, given.weights)
    x, y = VECTORS.astype("float32"), NUMBERS.astype("float32")
    for at in [0, 8, 16] * 2:
        side.step(x[at : at + 8], y[at : at + 8])
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert_same_bits(side.weights(), model)


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_a_compiled_model_is_compared_as_it_is_and_left_so(name):
    model = made(EXPRESSIBLE[name])
    before, process = everything(model), of_process()
    result = parity.diff(model, VECTORS, NUMBERS, batch_size=8, progress=False)
    assert result.verdict is parity.Verdict.PARITY
    assert (result.steps_compared, result.experiment.name) == (3, "mine")
    assert everything(model) == before
    assert of_process() == process


def test_a_key_of_the_experiment_of_a_model_can_be_changed():
    model = made(EXPRESSIBLE["penalties"])
    options = {"changes": {"layers.0.kernel_regularizer.l2": 0.5}, "precision": "float32", "progress": False}
    result = parity.diff(model, VECTORS, NUMBERS, steps=1, **options)
    assert (result.verdict, result.experiment.layers[0].kernel_regularizer.l2) == (parity.Verdict.PARITY, 0.5)


def test_the_cause_is_found_from_the_weights_that_the_model_has_now():
    model = made(EXPRESSIBLE["penalties"])
    model.set_weights([array + 0.25 for array in model.get_weights()])
    half = parity.diff(model, VECTORS, NUMBERS, candidate="scratch[l2.penalty=half]", batch_size=8, progress=False)
    assert [str(cause) for cause in half.causes] == ["l2.penalty=half"]
    seen = {}

    class Sees:
        def start(self, _, weights):
            seen.update(weights)

        def step(self, *_):
            return 0.0

        def weights(self):
            return seen

    parity.diff(model, VECTORS, NUMBERS, candidate=Sees, steps=1, precision="float32", explain=False, progress=False)
    assert_same_bits(seen, model)


def test_what_does_not_train_is_left_out_and_said():
    model = made(lambda: sequential(layers.Dense(3), optimizer="adam", metrics=["accuracy", "mae"]))
    model.fit(VECTORS, NUMBERS, batch_size=11, verbose=0)
    result = parity.diff(model, VECTORS, NUMBERS, progress=False)
    told = {item.what: item.why for item in result.not_compared}
    assert "metric mae" in told
    assert "optimizer state" not in told  # both sides go on with it
    assert result.verdict is parity.Verdict.PARITY


def test_a_model_in_float64_keeps_its_digits():
    with_process = keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        model = made(lambda: sequential(layers.Dense(3), optimizer=optimizers.SGD(0.1)))
        given = read(model)
        assert given.inexpressible == ()
        assert (
            given.weights["dense/kernel" if "dense/kernel" in given.weights else next(iter(given.weights))].dtype
            == "float64"
        )
        assert given.settings["optimizer"].learning_rate == 0.1
    finally:
        keras.config.set_floatx(with_process)
        keras.config.set_dtype_policy(with_process)


def test_the_learning_rate_is_the_one_that_was_written():
    for rate in (0.001, 0.01, 0.1, 3e-4, 0.5, 1 / 3):
        given = read(made(lambda rate=rate: sequential(layers.Dense(3), optimizer=optimizers.SGD(rate))))
        found = given.settings["optimizer"].learning_rate
        assert np.float32(found) == np.float32(rate)
        assert len(repr(found)) <= 11 or found == rate


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: keras.Sequential([keras.Input((5,)), layers.Dense(3)], name="mine"), "not compiled"),
        (lambda: sequential(layers.Dense(3), loss=None), "not compiled with a loss"),
        (lambda: object(), "compiled Keras model; received builtins.object"),
        (lambda: keras.layers.Dense(3), "compiled Keras model; received keras"),
    ],
    ids=["not compiled", "no loss", "object", "layer"],
)
def test_what_is_no_compiled_model_is_told(make, said):
    with pytest.raises(UsageError, match=said):
        read(made(make))


def test_a_model_that_is_not_built_is_told():
    model = keras.Sequential([layers.Dense(3)], name="mine")
    model.compile("sgd", "mse")
    with pytest.raises(UsageError, match="not built yet"):
        read(model)


# Files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    model = made(EXPRESSIBLE["penalties"])
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_a_file_says_what_the_model_says(name, tmp_path):
    model = made(EXPRESSIBLE[name])
    model.save(tmp_path / "model.keras")
    if name == "a loss as function":  # a file does not say whose function it is
        with pytest.raises(UsageError, match="mean_squared_error is not Keras' own"):
            read(tmp_path / "model.keras")
        return
    of_file, of_model = read(tmp_path / "model.keras"), read(model)
    assert of_file.settings == of_model.settings
    assert_same_bits(of_file.weights, keras.models.load_model(tmp_path / "model.keras", compile=False))
    assert list(of_file.weights) == list(of_model.weights)


# A layer twice: Keras writes a file that it cannot load itself.
@pytest.mark.parametrize("name", sorted(OPAQUE.keys() - {"a layer that cannot be serialised", "a layer twice"}))
def test_a_file_that_an_experiment_cannot_say_is_refused_by_name(name, tmp_path, monkeypatch):
    make, _, expected = OPAQUE[name]
    with pytest.warns() if name == "a lambda" else pytest.MonkeyPatch.context():
        made(make).save(tmp_path / "model.keras")
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "model.keras")
    if name != "functional":
        assert all(said in str(caught.value) for said in expected)


def rewritten(path, change):
    """The same file with another config.json."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    members["config.json"] = json.dumps(change(config) or config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def with_weights(path, write):
    """The same file with other weights."""
    content = io.BytesIO()
    with h5py.File(content, "w") as stored:
        write(stored)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, old in members.items():
            archive.writestr(name, content.getvalue() if name.endswith(".h5") else old)
    return path


def refused(path):
    with pytest.raises(UsageError) as caught:
        read(path)
    said = str(caught.value)
    assert said.startswith(str(path))
    assert "\n" not in said
    return said


def test_what_is_no_model_file_is_one_line(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("hello")
    assert "not a .keras file" in refused(path)
    assert "no such file" in refused(tmp_path / "nowhere.keras").lower()
    assert "is a directory" in refused(tmp_path).lower()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "hello")
    assert "it holds no config.json" in refused(path)


def test_the_older_form_is_named(tmp_path):
    with h5py.File(tmp_path / "model.h5", "w") as stored:
        stored["x"] = 1
    assert "older HDF5 form" in refused(tmp_path / "model.h5")


def test_nothing_of_a_file_is_executed(saved, tmp_path):
    """A lambda, a class to be imported, and a callable by path: names, and no more."""
    marker = tmp_path / "marker"

    def plant(config):
        config["config"]["layers"][1]["config"]["activation"] = {
            "class_name": "function",
            "module": "pathlib",
            "config": "Path.touch",
            "registered_name": f"{marker}",
        }
        config["compile_config"]["optimizer"] = {
            "class_name": "Popen",
            "module": "subprocess",
            "config": {"args": "id"},
        }

    with pytest.raises(UsageError, match=r"Path\.touch is not Keras' own") as caught:
        read(rewritten(saved, plant))
    assert "Popen is not Keras' own" in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _: [1], "config.json is no object"),
        (lambda _: {"class_name": "Sequential"}, "holds no model of layers"),
        (lambda config: config.pop("compile_config") and None, "saved without compile"),
        (lambda config: config["config"]["layers"][1]["config"].update(units=7), "has shape"),
        (lambda config: config["config"].update(build_input_shape="wide"), "before it was built"),
        (lambda config: config["config"].update(build_input_shape=[None, 10**12]), "has shape"),
    ],
    ids=["list", "no layers", "not compiled", "units", "inputs", "many inputs"],
)
def test_a_config_that_is_wrong_is_one_line(saved, change, said):
    assert said in refused(rewritten(saved, change))


def test_a_config_nested_without_end_is_one_line(saved):
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("config.json", "[" * 10**6)
        archive.writestr("model.weights.h5", b"")
    refused(saved)


def test_weights_outside_the_file_are_not_followed(saved, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as stored:
        stored["secret"] = np.ones((5, 4), "float32")

    def external_link(stored):
        stored["layers/dense/vars/0"] = h5py.ExternalLink(tmp_path / "other.h5", "secret")

    def soft_link(stored):
        stored["secret"] = np.ones((5, 4), "float32")
        stored["layers/dense/vars/0"] = h5py.SoftLink("/secret")

    def external_data(stored):
        (tmp_path / "raw").write_bytes(bytes(80))
        group = stored.create_group("layers/dense/vars")
        group.create_dataset("0", (5, 4), "float32", external=[(tmp_path / "raw", 0, 80)])

    def virtual(stored):
        layout = h5py.VirtualLayout((5, 4), "float32")
        layout[...] = h5py.VirtualSource(tmp_path / "other.h5", "secret", (5, 4))
        stored.create_group("layers/dense/vars").create_virtual_dataset("0", layout)

    for write in (external_link, soft_link):
        assert "leads out of the weights" in refused(with_weights(saved, write))
    for write in (external_data, virtual):
        assert "no array of numbers stored in the weights" in refused(with_weights(saved, write))


def test_numbers_that_are_declared_and_not_stored_are_not_made(saved):
    def write(stored):
        stored.create_group("layers/dense/vars").create_dataset("0", (10**6, 10**6), "float32", chunks=(10, 10))

    assert "declares 4,000,000,000,000 bytes" in refused(with_weights(saved, write))
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * 2**27)
        archive.writestr("model.weights.h5", b"")
    assert "config.json declares" in refused(saved)


def test_a_file_cut_or_spoilt_anywhere_is_told_or_read(saved):
    content = saved.read_bytes()
    dice = random.Random(7)  # noqa: S311  # reproducible
    told = 0
    for _ in range(300):
        spoilt = bytearray(content)
        if dice.random() < 0.3:
            del spoilt[dice.randrange(len(spoilt)) :]
        for _ in range(dice.choice([1, 4, 64])):
            if spoilt:
                spoilt[dice.randrange(len(spoilt))] = dice.randrange(256)
        saved.write_bytes(spoilt)
        try:
            read(saved)
        except UsageError:
            told += 1
    assert told > 100


def test_opaque_parts_carry_what_keras_says_of_them():
    make, _, _ = OPAQUE["clipping"]
    optimizer = read(made(make)).settings["optimizer"]
    assert isinstance(optimizer, Opaque)
    assert (optimizer.class_name, optimizer.config["clipnorm"]) == ("Adam", 0.1)
    assert tf.executing_eagerly()
