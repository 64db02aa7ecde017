"""Experiment files: every mistake at once, overrides, and files that are no experiments."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from parity.cli import main
from parity.config import ConfigError, Experiment, load_experiment, validate
from parity.errors import ParityError, UsageError

TABLE: dict[str, Any] = {
    "name": "whole",
    "data": {"source": "regression", "features": 3, "noise": 0.5},
    "layers": [
        {"units": 4, "activation": "relu", "kernel_regularizer": {"l2": 0.25}, "bias_initializer": "ones"},
        {"class_name": "Dense", "config": {"name": "out", "units": 1}},
    ],
    "loss": {"class_name": "MeanSquaredError"},
    "optimizer": {"class_name": "Adam", "learning_rate": 0.125},
    "batch_size": 8,
    "steps": 3,
    "precision": "float64",
    "seed": 1,
}
TOML = """
name = "whole"
batch_size = 8
steps = 3
precision = "float64"
seed = 1
loss = { class_name = "MeanSquaredError" }
optimizer = { class_name = "Adam", learning_rate = 0.125 }

[data]
source = "regression"
features = 3
noise = 0.5

[[layers]]
units = 4
activation = "relu"
kernel_regularizer = { l2 = 0.25 }
bias_initializer = "ones"

[[layers]]
class_name = "Dense"
config = { name = "out", units = 1 }
"""


@pytest.fixture
def toml(tmp_path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(TOML)
    return path


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return caught.value.code


def mistakes(table: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        validate(table)
    return caught.value.mistakes


def test_toml_and_json_say_the_same(toml, tmp_path):
    as_json = tmp_path / "experiment.json"
    as_json.write_text(json.dumps(TABLE))
    assert load_experiment(toml) == load_experiment(as_json) == validate(TABLE)


# Mistakes ---------------------------------------------------------------------------------------------------------

not_a_number = st.one_of(
    st.just("many"),
    st.just([1]),
    st.just({"a": 1}),
    st.just(float("nan")),
    st.just(float("inf")),
    st.just(-1),
    st.none(),
)
not_a_name = st.sampled_from(["bogus", "", "L3", 3, [1], {"class_name": 5}, {"class_name": "bogus"}, 2.5])
unknown = st.one_of(st.none(), st.integers(), st.text(max_size=3), st.just([]), st.just({}))
# Key path -> a value that is wrong there. No path lies inside another, so each is one mistake by itself.
BREAKABLE: dict[str, st.SearchStrategy[Any]] = {
    "data.features": not_a_number,
    "data.noise": not_a_number,
    "data.sead": unknown,
    "layers.0.units": not_a_number,
    "layers.0.unitz": unknown,
    "layers.0.activation": st.sampled_from(["sigmoidd", "", 3, [], {}]),
    "layers.0.kernel_regularizer.l2": not_a_number.filter(lambda value: value is not None),
    "layers.0.bias_initializer": not_a_name,
    "layers.1.config.units": not_a_number,
    "loss": not_a_name,
    "optimizer.learning_rate": not_a_number,
    "optimizer.clipnorm": st.just(1.0),
    "batch_size": st.sampled_from([0, -3, "fulll", [], 1.5]),
    "precision": st.sampled_from(["float16", "", None, 32]),
    "seed": st.sampled_from([-1, 2**31, "x", 10**400]),
    "metrics": st.sampled_from([["acuracy"], 3, "accuracy"]),
    "steps": st.sampled_from([0, -1, 1.5, [], "three"]),
    "schuffle": unknown,
}


def broken(changes: dict[str, Any]) -> dict[str, Any]:
    table = copy.deepcopy(TABLE)
    for path, value in changes.items():
        *parents, last = path.split(".")
        at: Any = table
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at[part]
        at[last] = value
    return table


@st.composite
def breakages(draw) -> dict[str, Any]:
    paths = draw(st.lists(st.sampled_from(sorted(BREAKABLE)), min_size=1, unique=True))
    return {path: draw(BREAKABLE[path], label=path) for path in paths}


@given(breakages())
def test_as_many_mistakes_are_told_as_were_made(changes):
    told = mistakes(broken(changes))
    keys = sorted(re.sub(r"^metrics\.0$", "metrics", line.partition(":")[0]) for line in told)
    assert keys == sorted(path.replace(".config", "") for path in changes)
    assert all("\n" not in line for line in told)


def test_as_many_mistakes_are_told_on_the_command_line(tmp_path, capsys):
    changes = {"data.features": "x", "layers.0.unitz": 3, "optimizer.clipnorm": 1.0, "precision": "float16"}
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(broken(changes)))
    assert exit_code("diff", str(path)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"parity: {path}: 4 mistakes\n")
    assert "Traceback" not in said.err
    for key in changes:
        assert f"\n  {key}: " in said.err


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("layers.0.activation", "sigmoidd", ["'sigmoidd'", "allowed: linear, sigmoid", "did you mean 'sigmoid'?"]),
        ("optimizer", "addam", ["unknown optimizer 'addam'", "allowed: adam, rmsprop, sgd", "did you mean 'adam'?"]),
        ("loss", "mean_square_error", ["unknown loss", "did you mean 'mean_squared_error'?"]),
        ("layers.0.kernel_initializer", "he_norml", ["unknown initializer", "did you mean 'he_normal'?"]),
        ("layers.0.kernel_regularizer", "l3", ["unknown regularizer 'l3'", "allowed: l1"]),
        ("layers.0.unitz", 3, ["unknown key", "allowed here: ", "did you mean 'units'?"]),
        ("optimizer.learning_rat", 3, ["unknown key", "did you mean 'learning_rate'?"]),
        ("data.source", "digit", ["'digit'", "allowed: digits, mnist", "did you mean 'digits'?"]),
        ("precision", "flaot32", ["'flaot32'", "allowed: float32, float64, both", "did you mean 'float32'?"]),
        ("batch_sice", 3, ["unknown key", "did you mean 'batch_size'?"]),
        ("layers.0.units", 0, ["received 0", "greater than or equal to 1"]),
        ("layers.0.units", True, ["received True", "valid integer"]),
        ("layers.0.units", "7", ["received '7'", "text", "without quotes"]),
        ("layers.0.units", "many", ["received 'many'", "valid integer"]),
        ("layers.0.units", 7.5, ["received 7.5", "valid integer"]),
        ("layers.0.use_bias", 1, ["received 1", "valid boolean"]),
        ("layers.0.use_bias", "true", ["received 'true'", "without quotes"]),
        ("layers.0.kernel_regularizer.l2", "1e-3", ["received '1e-3'", "without quotes"]),
        ("optimizer.learning_rate", True, ["received True", "valid number"]),
        ("optimizer.learning_rate", "0.1", ["received '0.1'", "without quotes"]),
        ("layers.0.units", 10**400, ["received 1000", "less than or equal to 2147483647"]),
        ("steps", 2**31, ["received 2147483648", "less than or equal to 2147483647"]),
        ("layers.0.kernel_regularizer", {"l3": 1}, [".l3: unknown key; allowed here: l1, l2"]),
        ("layers.0.kernel_regularizer", {"l2": 1, "l3": 1}, [".l3: unknown key; allowed here: l1, l2"]),
        ("layers.0.kernel_regularizer", {"l1": 1, "sead": 1}, [".sead: unknown key; allowed here: l1, l2"]),
        (
            "layers.0.kernel_regularizer",
            {"class_name": "L2", "l2": 1, "l1": 1},
            [".l1: unknown key; allowed here: l2"],
        ),
        ("layers.0.kernel_regularizer", {"l2": "1"}, [".l2: received '1'", "without quotes"]),
        (
            "layers.0.kernel_initializer",
            {"class_name": "RandomUniform", "minval": 2},
            ["minval 2.0 is above", "allowed"],
        ),
        ("layers", [None], [".0: received None", "allowed: dense"]),
        (
            "layers",
            {"units": 1},
            ["received {'units': 1}", "valid list", "in TOML each of its tables begins with [[layers]]"],
        ),
        ("loss", None, ["received None", "allowed: bce"]),
        ("loss.from_logits", True, ["unknown key; allowed here: none"]),
        ("metrics", ["acuracy"], [".0: received 'acuracy'", "allowed: accuracy", "did you mean 'accuracy'?"]),
        ("metrics", {"accuracy": 1}, ["received {'accuracy': 1}; input should be a valid list"]),
        ("name", "\ud800", ["received '\\ud800'", "allowed: text without halves of surrogate"]),
        ("data", {"source": None}, [".source: received None; allowed: digits"]),
        ("data", {"source": ["csv"]}, [".source: received ['csv']; allowed: digits"]),
        ("data", {"source": "npz", "path": ""}, [".path: received ''; string should have at least 1"]),
        (
            "data",
            {"source": "csv", "path": "a", "target": 1.5},
            [".target: received 1.5; allowed: a column by its name or"],
        ),
        (
            "data",
            {"source": "csv", "path": "a", "target": ["b", True]},
            [".target.1: received True; allowed: a column"],
        ),
        (
            "data",
            {"source": "csv", "path": "a", "target": []},
            [".target: received []; list should have at least 1 item"],
        ),
        (
            "data",
            {"source": "arrays", "x": ["a"] * 9, "y": [1]},
            [".x.0: received 'a'; input should be a valid number"],
        ),
        ("data", {"source": "arrays", "x": [[1], ["2"]], "y": [1]}, [".x.1.0: received '2'", "without quotes"]),
        (
            "data",
            {"source": "arrays", "x": [1], "y": 1},
            [".y: received 1; allowed: a list of numbers, or a list of such"],
        ),
        ("initial_weights", 3, ["received 3; allowed: a table of arrays by name, or the path of an npz file"]),
        ("initial_weights", ["a"], ["received ['a']; allowed: a table of arrays by name, or the path of an npz file"]),
        ("initial_weights", True, ["received True; allowed: a table"]),
        ("initial_weights", "", ["received ''; string should have at least 1 character"]),
        (
            "initial_weights",
            {"dense/bias": "x"},
            [".dense/bias: received 'x'; allowed: a number, a list of numbers, or"],
        ),
        ("initial_weights", {"bias": [1, True]}, [".bias.1: received True; input should be a valid number"]),
        (
            "initial_weights",
            {"a/b": [[1, 2], [3]]},
            [".a/b: row 1 has 1, row 0 has 2; every row of an array needs the same"],
        ),
        ("initial_state", {"optimizer/iterations": "3"}, [".optimizer/iterations: received '3'; allowed: a number"]),
        ("a\nb", 3, ["'a\\nb': unknown key"]),
        ("batch_size", True, ["received True", "valid integer", "full"]),
        ("batch_size", "8", ["received '8'", "without quotes", "full"]),
        ("layers.0.name", "a/b", ["received 'a/b'"]),
        ("seed", 2**31, ["received 2147483648", "less than or equal to 2147483647"]),
    ],
)
def test_a_mistake_names_key_received_allowed_and_nearest(path, value, said):
    (mistake,) = mistakes(broken({path: value}))
    assert mistake.startswith((f"{path}: ", f"{path}.", repr(path)))
    assert len(mistake.splitlines()) == 1
    for words in said:
        assert words in mistake


@pytest.mark.parametrize("where", ["layers.0.kernel_regularizer.l2", "optimizer.learning_rate", "data.noise"])
def test_an_integer_is_a_number(where):
    assert validate(broken({where: 1})) == validate(broken({where: 1.0}))


def test_numbers_of_numpys_are_as_good():
    x = np.arange(6, dtype=np.float32).reshape(3, 2) / 8
    written: dict[str, Any] = {
        "data": {"source": "arrays", "x": x.tolist(), "y": [0.0, 1.0, 1.0], "one_hot": 2},
        "layers.0.units": 2,
        "layers.0.use_bias": False,
        "layers.0.kernel_regularizer.l2": 0.125,
        "layers.1.config.units": 2,
        "optimizer.learning_rate": float(np.float32(0.1)),
        "batch_size": 2,
        "steps": 3,
        "seed": 5,
        "shuffle": True,
        "initial_weights": {"dense/kernel": x[:2].tolist(), "out/bias": [0.5, 0.25]},
        "initial_state": {"optimizer/iterations": 3.0, "dense/kernel/momentum": x[:2].tolist()},
        "tolerance": [{"rtol": 0.5, "atol": 0}],
    }
    handed_over = written | {
        "data": {"source": "arrays", "x": x, "y": list(np.array([0, 1, 1])), "one_hot": np.int64(2)},
        "layers.0.units": np.int64(2),
        "layers.0.use_bias": np.False_,
        "layers.0.kernel_regularizer.l2": np.float32(0.125),
        "layers.1.config.units": np.uint8(2),
        "optimizer.learning_rate": np.float32(0.1),
        "batch_size": np.int32(2),
        "steps": np.array(3),
        "seed": np.int64(5),
        "shuffle": np.True_,
        "initial_weights": {"dense/kernel": x[:2], "out/bias": (np.float32(0.5), np.float64(0.25))},
        "initial_state": {"optimizer/iterations": np.int64(3), "dense/kernel/momentum": list(x[:2])},
        "tolerance": [{"rtol": np.float16(0.5), "atol": np.int64(0)}],
    }
    assert load_experiment(TABLE, handed_over.items()) == load_experiment(TABLE, written.items())


def test_a_long_value_is_cut():
    (mistake,) = mistakes(broken({"layers.0.units": "x" * 10_000}))
    assert len(mistake) < 300


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 1}, "epochs and steps are both given"),
        ({"layers": [{"units": 1, "name": "a"}, {"units": 1, "name": "a"}]}, "'a' is the name of layers.0, layers.1;"),
        ({"layers": [{"units": 1}, {"units": 1, "name": "dense"}]}, "'dense' is the name of layers.0, layers.1;"),
        ({"layers": [{"units": 0, "name": "a"}, {"config": {"name": "a"}}]}, "'a' is the name of layers.0, layers.1;"),
        ({"layers": []}, "layers"),
        ({"layers": None}, "layers"),
        ({"layers": {"units": 1}}, "layers"),
        ({"layers": [None]}, "layers.0"),
    ],
)
def test_what_does_not_go_together(changes, said):
    assert said in "\n".join(mistakes({**TABLE, **changes}))


def test_what_must_be_given():
    told = "\n".join(mistakes({}))
    for key in ("data", "layers", "loss", "optimizer"):
        assert f"{key}: missing; it must be given" in told


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**400, "adam", "L2"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["class_name", "config", "units", "name", "source", "l2", "layers", "x", "a/b", ""]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
EVERYWHERE = sorted({*BREAKABLE, "data", "data.source", "layers", "layers.0", "layers.1.config", "optimizer", "name"})


@given(st.dictionaries(st.sampled_from(EVERYWHERE), plain, min_size=1, max_size=3))
def test_no_table_makes_a_traceback(changes):
    """Whatever stands in the file: an experiment, or mistakes in words."""
    try:
        table = broken(changes)
    except (TypeError, KeyError, IndexError, ValueError, AttributeError):
        return  # a change lay inside another one
    try:
        experiment = validate(table)
    except ConfigError as error:
        told = error.mistakes
    else:
        told = ("none",) if isinstance(experiment, Experiment) else ()
    assert told
    assert all(mistake.strip() for mistake in told)


# Overrides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "read", "expected"),
    [
        ("batch_size=16", lambda e: e.batch_size, 16),
        ("batch_size=full", lambda e: e.batch_size, "full"),
        ("name=run 2", lambda e: e.name, "run 2"),
        ('name="3"', lambda e: e.name, "3"),
        (" seed = 5 ", lambda e: e.seed, 5),
        ("layers.0.units=30", lambda e: e.layers[0].units, 30),
        ("layers.0.kernel_regularizer.l2=0", lambda e: e.layers[0].kernel_regularizer.l2, 0),
        ("layers.0.kernel_regularizer=none", lambda e: e.layers[0].kernel_regularizer, None),
        ("layers.0.kernel_regularizer.l1=0.5", lambda e: e.layers[0].kernel_regularizer.class_name, "L1L2"),
        ("layers.0.bias_regularizer.l2=0.5", lambda e: e.layers[0].bias_regularizer.l2, 0.5),
        ("layers.0.bias_initializer.class_name=zeros", lambda e: e.layers[0].bias_initializer.class_name, "Zeros"),
        ("layers.1.units=2", lambda e: e.layers[1].units, 2),  # beside Keras' `config`, which it overrides
        ("layers.1.config.units=2", lambda e: e.layers[1].units, 2),
        ("optimizer=sgd", lambda e: e.optimizer.class_name, "SGD"),
        ("optimizer.learning_rate=1e-2", lambda e: e.optimizer.learning_rate, 0.01),
        ("optimizer.learning_rate=None", lambda e: e.optimizer.learning_rate, 0.001),  # Keras' default holds again
        ("optimizer.amsgrad=true", lambda e: e.optimizer.amsgrad, True),
        ("layers.0.units=7", lambda e: e.layers[0].units, 7),
        ("shuffle=True", lambda e: e.shuffle, True),  # as Python writes it, like None
        ("shuffle=False", lambda e: e.shuffle, False),
        ("optimizer.learning_rate=.5", lambda e: e.optimizer.learning_rate, 0.5),
        ("optimizer.learning_rate=1.", lambda e: e.optimizer.learning_rate, 1.0),
        ("optimizer.learning_rate=5.e-1", lambda e: e.optimizer.learning_rate, 0.5),
        ("optimizer.learning_rate=1", lambda e: e.optimizer.learning_rate, 1.0),
        ("name=v1.0", lambda e: e.name, "v1.0"),
        ('metrics=["accuracy"]', lambda e: e.metrics, ("accuracy",)),
        ('loss={class_name="bce", from_logits=true}', lambda e: e.loss.from_logits, True),
        ("shuffle=true", lambda e: e.shuffle, True),
    ],
)
def test_an_override(toml, override, read, expected):
    assert read(load_experiment(toml, [override])) == expected


def test_overrides_come_in_order_and_a_short_name_grows_parameters(toml):
    experiment = load_experiment(
        toml, ["optimizer=sgd", "optimizer.momentum=0.5", "steps=none", "epochs=2", ("seed", 9), "seed=10"]
    )
    assert experiment.optimizer.model_dump() == {
        "class_name": "SGD",
        "learning_rate": 0.01,
        "momentum": 0.5,
        "nesterov": False,
    }
    assert (experiment.steps, experiment.epochs, experiment.seed) == (None, 2, 10)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("batch_size", "expected key=value"),
        ("=3", "expected key=value"),
        ("layers.2.units=3", "layers.2 is not there; the list has positions 0 to 1"),
        ("layers.-1.units=3", "positions 0 to 1"),
        ("layers.first.units=3", "positions 0 to 1"),
        ("layers.².units=3", "positions 0 to 1"),
        ("layers.0.units=true", "layers.0.units: received True"),
        ("layers.0.units='7'", "layers.0.units: received '7'; that is text: write it without quotes"),
        ("shuffle=yes", "shuffle: received 'yes'"),
        ("a\nb", r"--set 'a\nb': expected key=value"),
        ("seed.deep=3", "inside a plain value"),
        ("layers.0.units.deep=3", "inside a plain value"),
        ("layerz.0.units=3", "layerz: unknown key"),
        ("layers.0.units=many", "layers.0.units: received 'many'"),
        ("layers.0=none", "layers.0: "),
        ("seed=" + "9" * 5000, "seed"),
        ("seed=" + "[" * 5000, "seed"),
        ("name=1979-05-27", "name: received datetime.date(1979, 5, 27)"),
        ("a..b=1", "a: unknown key"),
    ],
)
def test_an_override_that_does_not_fit(toml, override, said):
    with pytest.raises(UsageError) as caught:
        load_experiment(toml, [override])
    assert said in str(caught.value)
    assert exit_code("diff", str(toml), "--set", override) == 2


@given(st.text(max_size=30))
def test_no_override_makes_a_traceback(text):
    path = Path(__file__).parent / "experiment.toml"
    with contextlib.suppress(ParityError):
        load_experiment(path, [text])


# Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.toml", b"\x00\xff\xfe\x80", "not UTF-8 text"),
        ("a.toml", b"\x89PNG\r\n\x1a\n", "not UTF-8 text: byte 0 is 0x89"),
        ("a.toml", b"\x00\x01\x02", "not valid TOML"),
        ("a.toml", b"name = ", "not valid TOML"),
        ("a.toml", b"name = 1\nname = 2", "not valid TOML"),
        ("a.json", b'{"seed": 1, "seed": 2}', "'seed' is given twice"),
        ("a.json", b'{"layers": [{"units": 1, "units": 2}]}', "'units' is given twice"),
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"[1, 2]", "expected a table of settings, received list"),
        ("a.json", b"3", "received int"),
        ("a.toml", b"seed = " + b"[" * 50_000, "not valid TOML|nested too deeply"),
        ("a.json", b'{"seed": ' + b"[" * 100_000, "not valid JSON|nested too deeply"),
        ("a.json", b'{"seed": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, "nested too deeply|unknown|missing"),
        ("a.toml", b"seed = " + b"9" * 5000, "not readable"),
        ("a.json", b'{"seed": ' + b"9" * 5000 + b"}", "not readable"),
        ("a.json", b'{"seed": ' + b"9" * 4000 + b"}", "seed: "),
        ("a.json", b'{"seed": NaN}', "seed: "),
        ("a.json", b"", "not valid JSON"),
        ("a.toml", b"", "data: missing"),
    ],
)
def test_a_file_that_is_no_experiment(tmp_path, name, content, said, capsys):
    path = tmp_path / name
    path.write_bytes(content)
    assert exit_code("diff", str(path)) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"parity: {path}: ")
    assert re.search(said, told)
    assert "Traceback" not in told


@pytest.mark.parametrize("name", ["a.json", "a.JSON"])
def test_a_file_may_begin_with_a_mark_of_its_encoding(tmp_path, name):
    path = tmp_path / name
    path.write_text(json.dumps(TABLE), encoding="utf-8-sig")
    assert load_experiment(path) == validate(TABLE)
    path.with_suffix(".toml").write_text(TOML, encoding="utf-8-sig")
    assert load_experiment(path.with_suffix(".toml")) == validate(TABLE)


def test_a_missing_file_names_the_nearest_that_is_there(toml):
    with pytest.raises(ConfigError, match=r"did you mean .experiment\.toml"):
        load_experiment(toml.with_name("experimnt.toml"))
    with pytest.raises(ConfigError, match="no such file"):
        load_experiment(toml.parent / "nowhere" / "a.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_experiment(toml.parent)
    with pytest.raises(ConfigError, match="cannot be read: embedded null byte"):
        load_experiment("a\0b")


def test_a_file_too_large_is_not_read(tmp_path):
    path = tmp_path / "a.toml"
    with path.open("wb") as file:
        file.truncate(65 * 2**20)  # sparse: takes no room
    with pytest.raises(ConfigError, match="larger than 64 MiB"):
        load_experiment(path)


def test_paths_are_relative_to_the_file(tmp_path):
    folder = tmp_path / "deep"
    folder.mkdir()
    path = folder / "a.json"
    table = {**TABLE, "data": {"source": "npz", "path": "data.npz"}, "initial_weights": "weights.npz"}
    path.write_text(json.dumps(table))
    experiment = load_experiment(path)
    assert experiment.data.path == str(folder / "data.npz")
    assert experiment.initial_weights == str(folder / "weights.npz")
    table["data"]["path"] = str(tmp_path / "absolute.npz")
    path.write_text(json.dumps(table))
    assert load_experiment(path).data.path == str(tmp_path / "absolute.npz")


def test_a_code_is_a_key_with_or_without_quotes():
    """`l2.penalty = "half"` is in TOML a table in a table."""
    quoted = validate({**TABLE, "declare": {"l2.penalty": "half", "l2.constant": "exact"}})
    assert validate({**TABLE, "declare": {"l2": {"penalty": "half", "constant": "exact"}}}) == quoted
    assert quoted.declare == {"l2.penalty": "half", "l2.constant": "exact"}
    assert validate({**TABLE, "declare": {"l2": {"penalty": 3, "gradient": 0.5}}}).declare == {
        "l2.penalty": "3",
        "l2.gradient": "0.5",
    }
    assert validate(quoted.model_dump()) == quoted


def test_of_what_is_declared_every_mistake_is_told():
    declare = {"l2.penalty": "haf", "l2": {"scle": "x", "constant": 3}, "l2.scale": "a"}
    with pytest.raises(ConfigError) as refused:
        validate({**TABLE, "declare": declare | {"bogus": {}}})
    said = "\
".join(refused.value.mistakes)
    assert len(refused.value.mistakes) == 5, said
    for words in (
        "declare.l2.penalty: l2.penalty has no choice 'haf'",
        "declare.l2.scle: no convention 'l2.scle'",
        "declare.l2.constant: l2.constant has no choice '3'",
        "declare.l2.scale: l2.scale has no choice 'a'",
        "declare.bogus: no convention 'bogus'",
    ):
        assert words in said


def test_a_code_is_declared_once():
    with pytest.raises(ConfigError, match=r"l2\.penalty is given twice: half and absent"):
        validate({**TABLE, "declare": {"l2.penalty": "half", "l2": {"penalty": "absent"}}})
