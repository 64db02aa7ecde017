"""Every spelling Keras has of a thing means the same thing here, with Keras' own defaults. The oracle is Keras."""

from __future__ import annotations

import importlib
import inspect
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

from parity.config import (
    ConfigError,
    Experiment,
    base,
    initializers,
    layers,
    losses,
    optimizers,
    regularizers,
    validate,
)
from parity.config.given import ModelExperiment, Opaque

# kind -> (our classes, how one is put into an experiment, how it is taken out again)
KINDS: dict[str, Any] = {
    "initializers": (
        initializers.CLASSES,
        lambda said: {"layers": [{"units": 2, "kernel_initializer": said}]},
        lambda experiment: experiment.layers[0].kernel_initializer,
    ),
    "regularizers": (
        regularizers.CLASSES,
        lambda said: {"layers": [{"units": 2, "kernel_regularizer": said}]},
        lambda experiment: experiment.layers[0].kernel_regularizer,
    ),
    "optimizers": (
        optimizers.CLASSES,
        lambda said: {"optimizer": said},
        lambda experiment: experiment.optimizer,
    ),
    "losses": (
        losses.CLASSES,
        lambda said: {"loss": said},
        lambda experiment: experiment.loss,
    ),
    "layers": (
        layers.CLASSES,
        lambda said: {"layers": [said]},
        lambda experiment: experiment.layers[0],
    ),
}
SMALL: dict[str, Any] = {
    "data": {"source": "regression", "features": 3},
    "layers": [{"units": 2}],
    "loss": "mse",
    "optimizer": "sgd",
}
OURS_ALONE = {"SumSquaredError"}
EVERY = [
    pytest.param(kind, cls, id=f"{kind}-{cls.__name__}")
    for kind, (classes, _, _) in KINDS.items()
    for cls in classes
    if cls.__name__ not in OURS_ALONE
]
# Parameters that Keras wants or that are not the defaults; a float that float32 holds exactly survives Keras' rounding.
OTHER: dict[str, Any] = {
    "units": 2,
    "name": "here",
    "activation": "relu",
    "use_bias": False,
    "seed": 7,
    "mean": 0.5,
    "stddev": 0.25,
    "value": 0.5,
    "minval": -0.5,
    "maxval": 0.25,
    "l1": 0.125,
    "l2": 0.25,
    "learning_rate": 0.125,
    "momentum": 0.5,
    "nesterov": True,
    "beta_1": 0.5,
    "beta_2": 0.75,
    "epsilon": 2.0**-20,
    "amsgrad": True,
    "rho": 0.5,
    "centered": True,
    "from_logits": True,
    "label_smoothing": 0.125,
}
NESTED = {
    "kernel_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
}


def read(kind: str, said: Any) -> Any:
    _, put, take = KINDS[kind]
    return take(validate({**SMALL, **put(said)}))


def parameters(cls: type[base.Frozen]) -> list[str]:
    return [name for name in cls.model_fields if name != "class_name"]


@pytest.mark.parametrize(("kind", "cls"), EVERY)
@pytest.mark.parametrize("chosen", ["defaults", "other"])
def test_what_keras_serialises_is_read_as_it_is(keras, kind, cls, chosen):
    module = getattr(keras, kind)
    given = {"units": 2} if kind == "layers" else {}
    if chosen == "other":
        given |= {name: OTHER[name] for name in parameters(cls) if name not in NESTED}
    serialised = module.serialize(getattr(module, cls.__name__)(**given))
    found = read(kind, json.loads(json.dumps(serialised)))
    assert type(found) is cls
    written = serialised["config"]
    for name in parameters(cls):
        if name in NESTED:
            assert getattr(found, name) == (read(name.split("_")[1] + "s", written[name]) if name in written else None)
        elif isinstance(getattr(found, name), float):
            assert getattr(found, name) == pytest.approx(written[name], rel=1e-7)  # Keras keeps some as float32
        else:
            assert getattr(found, name) == written[name]
        if chosen == "other" and name in OTHER:
            assert getattr(found, name) == OTHER[name]


@pytest.mark.parametrize(("kind", "cls"), EVERY)
def test_the_defaults_are_those_of_keras(keras, kind, cls):
    signature = inspect.signature(getattr(getattr(keras, kind), cls.__name__))
    for name, field in cls.model_fields.items():
        if name == "class_name" or (name == "name" and kind == "layers"):  # layers are named from a fresh session here
            continue
        theirs = signature.parameters[name].default
        if theirs is inspect.Parameter.empty:
            assert field.is_required(), name
        elif name == "activation":
            assert (field.default, theirs) == ("linear", None)  # None means linear in Keras
        elif isinstance(field.default, base.Frozen):
            assert field.default == read("initializers", theirs), name
        else:
            assert field.default == theirs, name
            assert type(field.default) is type(theirs), name


@pytest.mark.parametrize(("kind", "cls"), EVERY)
def test_nothing_that_keras_takes_is_forgotten(keras, kind, cls):
    """Each parameter of the Keras class is offered, or known as one that is not: a new Keras shows up here."""
    theirs = set(inspect.signature(getattr(getattr(keras, kind), cls.__name__)).parameters) - {"kwargs"}
    assert theirs <= set(parameters(cls)) | set(cls.keras_only)


@pytest.mark.parametrize(("kind", "cls"), EVERY)
def test_every_idle_value_is_the_default_of_keras(keras, kind, cls):
    made = getattr(getattr(keras, kind), cls.__name__)(**({"units": 1} if kind == "layers" else {}))
    defaults = {name: p.default for name, p in inspect.signature(type(made)).parameters.items()} | made.get_config()
    for name, idle in cls.keras_only.items():
        if idle and name in defaults:
            assert defaults[name] in idle, name


@pytest.mark.parametrize(("kind", "cls"), [case for case in EVERY if case.values[0] != "layers"])
def test_all_short_forms_are_one(keras, kind, cls):
    name = cls.__name__
    spelled = [name, {"class_name": name}, {"class_name": name, "config": {}}]
    # Keras' own table of strings; for a loss some of them name the function that its class wraps
    table = importlib.import_module(f"keras.src.{kind}").ALL_OBJECTS_DICT
    known = [said for said, made in table.items() if made.__name__ in {name, base.snake_case(name)}]
    assert known
    spelled += known
    assert {type(read(kind, said)) for said in spelled} == {cls}
    assert len({read(kind, said).model_dump_json() for said in spelled}) == 1


def test_a_regularizer_by_its_parameters_alone():
    assert read("regularizers", {"l1": 0.5}) == regularizers.L1(l1=0.5)
    assert read("regularizers", {"l2": 0.5}) == regularizers.L2(l2=0.5)
    assert read("regularizers", {"l1": 0.5, "l2": 0.25}) == regularizers.L1L2(l1=0.5, l2=0.25)


# What Keras could be asked to do beside what is offered: one value for each setting that would do something.
WOULD_DO = {
    "weight_decay": 0.01,
    "clipnorm": 1.0,
    "global_clipnorm": 1.0,
    "clipvalue": 0.5,
    "use_ema": True,
    "ema_momentum": 0.5,
    "ema_overwrite_frequency": 3,
    "loss_scale_factor": 2.0,
    "gradient_accumulation_steps": 2,
    "reduction": "sum",
    "dtype": "float64",
    "axis": 0,
    "ignore_class": 1,
    "input_axes": [0],
    "output_axes": [1],
    "trainable": False,
    "kernel_constraint": "non_neg",
    "bias_constraint": "non_neg",
    "lora_rank": 2,
    "lora_alpha": 2,
    "quantization_config": "int8",
}


@pytest.mark.parametrize(
    ("kind", "cls", "name"),
    [
        pytest.param(*case.values, name, id=f"{case.id}-{name}")
        for case in EVERY
        for name, idle in case.values[1].keras_only.items()  # type: ignore[union-attr]
        if idle
    ],
)
def test_what_is_not_offered_is_refused_by_name(kind, cls, name):
    said = {"class_name": cls.__name__, name: WOULD_DO[name]} | ({"units": 1} if kind == "layers" else {})
    with pytest.raises(ConfigError) as caught:
        read(kind, said)
    (mistake,) = caught.value.mistakes
    assert mistake.partition(":")[0].endswith(f".{name}")
    assert repr(WOULD_DO[name]) in mistake
    assert "not offered; leave it out" in mistake


@pytest.mark.parametrize("metrics", [["acc"], ["ACC"], ["Accuracy"], ["acc", "accuracy"], ["accuracy", "accuracy"]])
@pytest.mark.parametrize(
    ("units", "loss"),
    [(1, "binary_crossentropy"), (3, "categorical_crossentropy"), (3, "sparse_categorical_crossentropy")],
)
def test_every_spelling_of_accuracy_is_the_same_number(keras, metrics, units, loss):
    """Keras reports it under the name that it was given, an experiment as `accuracy`, and once."""
    x, labels = np.random.default_rng(5).random((7, 3)), np.arange(7) % max(units, 2)
    y = np.eye(units)[labels] if loss == "categorical_crossentropy" else labels
    said = []
    for spelling in (["accuracy"], metrics):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, activation="sigmoid")])
        model.compile("sgd", loss, metrics=spelling)
        said.append(model.fit(x, y, verbose=0).history)
        del said[-1]["loss"]
    assert set(metrics) <= said[1].keys()
    assert all(value == said[0]["accuracy"] for value in said[1].values())
    assert validate({**SMALL, "metrics": metrics}).metrics == ("accuracy",)


def test_labels_say_nothing():
    assert read("optimizers", {"class_name": "SGD", "name": "mine"}) == optimizers.SGD()
    assert read("losses", {"class_name": "mse", "name": "mine"}) == losses.MeanSquaredError()


@example([None] * 4)
@example(["hidden", None, None])
@example(["dense_1", None])
@example(["dense_1", None, None])
@example([None, "dense"])
@given(
    st.lists(st.sampled_from([None, None, "hidden", "dense", "dense_1", "dense_2", "Dense"]), min_size=1, max_size=5)
)
def test_layers_are_named_as_in_a_fresh_keras_session(keras, names):
    """Named and unnamed ones in any order: the same names, or refused where Keras refuses them."""
    keras.backend.clear_session(free_memory=False)  # names begin again; collecting garbage takes minutes
    try:
        model = keras.Sequential([keras.layers.Dense(2, name=name) for name in names])
    except ValueError as refused:
        assert "unique names" in str(refused)  # noqa: PT017  # either way is right, as long as it is Keras'
        expected = None
    else:
        expected = tuple(layer.name for layer in model.layers)
    spellings = (
        [{"units": 2} | ({} if name is None else {"name": name}) for name in names],
        [{"class_name": "Dense", "config": {"units": 2, "name": name}} for name in names],
        [layers.Dense(units=2, name=name) for name in names],
    )
    for said in spellings:
        table = {**SMALL, "layers": said}
        if expected is None:
            with pytest.raises(ConfigError) as caught:
                validate(table)
            assert all(mistake.startswith("layer names must differ; ") for mistake in caught.value.mistakes)
        else:
            assert validate(table).layer_names == expected


def test_a_layer_that_only_keras_knows_is_not_named_here():
    """Not even where its own `get_config` leaves the name out: `dense` is another layer of that model."""
    known = {"weight_shapes": {}, "inexpressible": ()}
    given_layers = [Opaque(class_name="Mine"), layers.Dense(units=2, name="dense"), Opaque(class_name="Mine")]
    found = validate({**SMALL, **known, "layers": given_layers}, kind=ModelExperiment)
    assert [layer.name for layer in found.layers] == [None, "dense", None]


def test_an_experiment_says_itself_again():
    """What an experiment dumps is an experiment again, the same one."""
    full = validate(
        {
            "data": {"source": "arrays", "x": [[1, 2], [3, 4]], "y": [1, 2]},
            "layers": [
                {"units": 3, "kernel_regularizer": {"l1": 0.1, "l2": 0.2}, "kernel_initializer": "he_normal"},
                {"units": 1, "activation": "sigmoid"},
            ],
            "loss": {"class_name": "BinaryCrossentropy", "label_smoothing": 0.1},
            "optimizer": {"class_name": "RMSprop", "centered": True},
            "initial_weights": {"dense/bias": [1, 2, 3]},
        }
    )
    assert Experiment.model_validate(full.model_dump()) == full
    assert Experiment.model_validate_json(full.model_dump_json()) == full
    assert validate(json.loads(full.model_dump_json())) == full
    np.testing.assert_array_equal(full.initial_weights["dense/bias"], [1, 2, 3])


@pytest.mark.parametrize(
    ("where", "key"),
    [
        (lambda experiment: experiment, "seed"),
        (lambda experiment: experiment.data, "source"),
        (lambda experiment: experiment.layers[0], "units"),
        (lambda experiment: experiment.layers[0].kernel_initializer, "seed"),
        (lambda experiment: experiment.optimizer, "learning_rate"),
        (lambda experiment: experiment.loss, "class_name"),
    ],
)
def test_nothing_can_be_changed(where, key):
    experiment = validate(
        {"data": {"source": "digits"}, "layers": [{"units": 1}], "loss": "mse", "optimizer": "sgd"},
    )
    before = experiment.model_dump_json()
    with pytest.raises(ValueError, match="frozen"):
        setattr(where(experiment), key, 1)
    with pytest.raises(ValueError, match="frozen"):
        delattr(where(experiment), key)
    assert experiment.model_dump_json() == before
    assert isinstance(experiment.layers, tuple)
