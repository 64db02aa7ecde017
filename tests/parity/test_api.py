"""The Python API: the same comparison as on the command line, of whatever somebody has at hand."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from html.parser import HTMLParser

import numpy as np
import pytest

import parity
from parity.cli import main
from parity.config.tolerances import Tolerance
from parity.sides import load_side

RANDOM = np.random.default_rng(2)
X, Y = RANDOM.normal(size=(40, 3)), RANDOM.normal(size=(40, 1))
SETTINGS = {
    "name": "small",
    "data": {"source": "regression", "features": 3, "samples": 40},
    "layers": [{"units": 4, "activation": "tanh", "kernel_regularizer": {"l2": 0.01}}, {"units": 1}],
    "loss": "mse",
    "optimizer": "sgd",
    "batch_size": 8,
    "steps": 4,
}
HALF = "scratch[l2.penalty=half]"


class Frozen:
    """A network that never learns anything."""

    def start(self, experiment, weights):
        self.experiment, self.held = experiment, weights

    def step(self, *_):
        return 1.0

    def weights(self):
        return self.held


def diff(experiment=SETTINGS, *data, **options):
    return parity.diff(experiment, *data, **{"reference": "scratch", "progress": False, **options})


# What is accepted -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["mapping", "experiment", "toml path", "json path"])
def experiment(request, tmp_path):
    """The same experiment in every form."""
    (tmp_path / "small.json").write_text(json.dumps(SETTINGS))
    layers = "[{units=4, activation='tanh', kernel_regularizer={l2=0.01}}, {units=1}]"
    (tmp_path / "small.toml").write_text(
        f"name='small'\nloss='mse'\noptimizer='sgd'\nbatch_size=8\nsteps=4\nlayers={layers}\n"
        "data={source='regression', features=3, samples=40}\n"
    )
    return {
        "mapping": SETTINGS,
        "experiment": parity.Experiment.model_validate(SETTINGS),
        "toml path": tmp_path / "small.toml",
        "json path": str(tmp_path / "small.json"),
    }[request.param]


@pytest.mark.parametrize("given", [3, None, ["a", "b"], b"bytes"])
def test_what_is_no_path_is_told(given, tmp_path):
    received = f"expected the path of a folder, received {type(given).__name__}"
    for call in (
        lambda: parity.compare(given, tmp_path),
        lambda: parity.compare(tmp_path, given),
        lambda: parity.record(SETTINGS, side="scratch", out=given, progress=False),
        lambda: parity.record(SETTINGS, side="scratch", out=tmp_path, start_from=given or 3, progress=False),
    ):
        with pytest.raises(parity.UsageError, match=received if given else "expected the path of a folder"):
            call()


def test_an_experiment_in_every_form_is_the_same(experiment):
    result = diff(experiment, candidate=HALF)
    plain = diff(SETTINGS, candidate=HALF)
    assert result.experiment == plain.experiment
    assert result.first_divergence == plain.first_divergence
    assert [str(cause) for cause in result.causes] == ["l2.penalty=half"]


def test_any_key_of_any_form_can_be_changed(experiment):
    changed = diff(experiment, changes={"layers.0.kernel_regularizer.l2": 0, "layers.1.units": 1}, steps=1).experiment
    assert (changed.layers[0].kernel_regularizer.l2, changed.steps) == (0, 1)


def test_what_was_given_is_not_changed():
    before = json.dumps(SETTINGS)
    diff(SETTINGS, X, Y, steps=1, changes={"layers.0.kernel_regularizer.l2": 0, "optimizer.learning_rate": 0.5})
    assert json.dumps(SETTINGS) == before


def factory():
    return Frozen()


@pytest.mark.parametrize(
    ("candidate", "name"), [(Frozen, "Frozen"), (Frozen(), "Frozen"), (factory, "factory"), (load_side(HALF), HALF)]
)
def test_a_side_in_every_form(candidate, name):
    result = diff(candidate=candidate, explain=False)
    assert (result.candidate, result.verdict) == (name, parity.Verdict.DIVERGED)


def test_a_reference_that_is_an_object():
    assert diff(reference=load_side(HALF), candidate=HALF).reference == HALF


def test_arrays_are_trained_on_in_place_of_the_experiments_data():
    seen = []

    class Sees(Frozen):
        def step(self, x, y):
            seen.append((x, y))
            return 0.0

    diff(SETTINGS, X, Y, candidate=Sees, precision="float64", explain=False)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in seen]), X[:32])
    np.testing.assert_array_equal(np.concatenate([y for _, y in seen]), Y[:32])
    bare = {key: value for key, value in SETTINGS.items() if key != "data"}
    assert diff(bare, X.tolist(), Y[:, 0], candidate="scratch").verdict is parity.Verdict.PARITY


def test_data_is_prepared_as_the_experiment_says():
    labels = RANDOM.integers(0, 3, 40)
    settings = {**SETTINGS, "layers": [{"units": 3, "activation": "softmax"}], "loss": "categorical_crossentropy"}
    settings["data"] = {"source": "digits", "scale": 4, "one_hot": 3, "samples": 24}
    result = diff(settings, X * 4, labels)
    assert result.experiment.examples == 24
    assert (result.experiment.data.source, result.experiment.data.one_hot) == ("memory", 3)


@pytest.mark.parametrize(
    ("options", "steps"),
    [({"steps": 3}, 3), ({"epochs": 2}, 10), ({"epochs": 1, "batch_size": 20}, 2), ({"batch_size": "full"}, 4)],
)
def test_the_length_of_a_run(options, steps):
    assert diff(**options).steps_compared == steps


def test_options_go_where_the_command_line_puts_them():
    result = diff(candidate=HALF, precision="float32", shuffle=True, lane="local", explain=False, command="again")
    assert ([run.precision for run in result.runs], result.experiment.shuffle, result.command) == (
        ["float32"],
        True,
        "again",
    )
    assert {lane for run in result.runs for lane, _ in run.summaries} == {"local"}
    assert (result.diagnosis, result.causes) == (None, ())
    assert diff(changes=["optimizer.learning_rate=0"]).experiment.optimizer.learning_rate == 0
    assert diff(gradcheck=True).gradcheck is not None
    assert diff(envelope=True).runs[0].envelope is not None


def test_a_declared_difference():
    assert diff(candidate=HALF, declare={"l2.penalty": "half"}).verdict is parity.Verdict.PARITY
    assert diff(SETTINGS, X, Y, candidate=HALF, declare={"l2.penalty": "half"}).verdict is parity.Verdict.PARITY
    assert diff(declare={"l2.penalty": "half"}).verdict is parity.Verdict.DIVERGED


@pytest.mark.parametrize("rule", [{"rtol": 1, "atol": 1}, Tolerance(rtol=1, atol=1)])
def test_tolerances_as_tables_or_rules(rule):
    result = diff(candidate=HALF, tolerance=[rule], explain=False)
    assert result.experiment.tolerance == (Tolerance(rtol=1, atol=1),)
    assert result.verdict is parity.Verdict.PARITY


# Traces -----------------------------------------------------------------------------------------------------------


def trace(out, side="scratch", experiment=SETTINGS, *data, **options):
    return parity.record(experiment, *data, out=out, side=side, **{"progress": False, **options})


def compare(*folders, **options):
    return parity.compare(*folders, progress=False, **options)


def test_two_recordings_say_what_the_sides_say(tmp_path):
    for name, side in (("plain", "scratch"), ("half", HALF)):
        recorded = trace(tmp_path / name, side)
        assert [(one.precision, one.folder, one.steps, one.planned) for one in recorded] == [
            ("float64", tmp_path / name / "float64", 4, 4),
            ("float32", tmp_path / name / "float32", 4, 4),
        ]
    live, result = diff(candidate=HALF), compare(tmp_path / "plain", str(tmp_path / "half"))
    assert isinstance(result, parity.Comparison)
    assert (result.verdict, [str(cause) for cause in result.causes]) == (live.verdict, ["l2.penalty=half"])
    first = [
        (one.first_divergence.step, one.first_divergence.key, one.first_divergence.candidate) for one in (live, result)
    ]
    assert first[0] == first[1]
    assert compare(tmp_path / "plain", tmp_path / "plain").verdict is parity.Verdict.PARITY
    assert diff(candidate=str(tmp_path / "half")).verdict is parity.Verdict.DIVERGED


def test_arrays_objects_and_classes_are_recorded(tmp_path):
    trace(tmp_path / "plain", "scratch", SETTINGS, X, Y, precision="float64", steps=3)
    for name, side in (("class", Frozen), ("object", Frozen())):
        (recorded,) = trace(tmp_path / name, side, SETTINGS, X, Y, precision="float64", steps=3)
        assert (recorded.folder, recorded.steps) == (tmp_path / name, 3)
        assert compare(tmp_path / "plain", tmp_path / name, explain=False).verdict is parity.Verdict.DIVERGED
    same = diff(SETTINGS, X, Y, candidate=str(tmp_path / "plain"), precision="float64", steps=3)
    assert same.verdict is parity.Verdict.PARITY
    with pytest.raises(parity.UsageError, match="recorded with other data"):
        diff(SETTINGS, X + 1, Y, candidate=str(tmp_path / "plain"), precision="float64", steps=3)


def test_options_of_comparing_hold(tmp_path):
    trace(tmp_path / "plain")
    trace(tmp_path / "half", HALF)
    folders = tmp_path / "plain", tmp_path / "half"
    result = compare(*folders, steps=2, precision="float32", explain=False, command="again")
    assert (result.steps_compared, [run.precision for run in result.runs]) == (2, ["float32"])
    assert (result.diagnosis, result.command) == (None, "again")
    frees = [compare(*folders, lane=lane, explain=False).runs[0] for lane in ("both", "free")]
    used = [any(key.phase == "gradient" and lane == "local" for lane, key in run.summaries) for run in frees]
    assert used == [True, False]
    lenient = [{"rtol": 1, "atol": 1}]
    assert compare(*folders, tolerance=lenient, explain=False).verdict is parity.Verdict.PARITY


def test_less_is_kept_and_a_recording_is_gone_on_with(tmp_path):
    (kept,) = trace(tmp_path / "kept", keep=parity.Keep(every=2), precision="float64")
    assert (kept.steps, kept.planned) == (2, 2)
    (near,) = trace(tmp_path / "near", HALF, keep="divergence", reference="scratch", precision="float64")
    assert near.steps == 4
    (again,) = trace(tmp_path / "kept", keep=parity.Keep(every=2), precision="float64", resume=True)
    assert again.steps == 2


def test_what_a_recorded_side_raises_or_does_not_return_from(tmp_path):
    class Sleeps(Frozen):
        def step(self, *_):
            while True:
                time.sleep(0.01)

    with pytest.raises(parity.SideError, match=r"did not return within 0\.1 s"):
        trace(tmp_path / "sleeps", Sleeps, timeout=0.1)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda there: trace(there), "there is a trace already"),
        (lambda there: trace(there / "new", "scrach"), "did you mean 'scratch'"),
        (lambda there: trace(there / "new", steps=0), "steps: received 0"),
        (lambda there: trace(there / "new", keep="divergence", reference="scratch"), "does not part from scratch"),
        (lambda there: trace(there / "manifest.json"), "is no folder"),
        (lambda there: compare(there, there / "nowhere"), "no trace is there"),
        (lambda there: compare(there, there, precision="float32"), "no float32 that both were recorded in"),
        (lambda there: compare(there, there, lane="lokal"), "did you mean 'local'"),
        (lambda there: compare(there, there, tolerance=1), "expected a list of rules"),
    ],
)
def test_what_is_wrong_with_a_trace_is_a_usage_error(tmp_path, call, said):
    trace(tmp_path / "there", precision="float64")
    with pytest.raises(parity.UsageError) as caught:
        call(tmp_path / "there")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("command", "name", "told"),
    [
        ("record small.json --side a --out b --steps 2 --resume --timeout 3", "record", {"side": "a", "timeout": 3.0}),
        ("compare a b --steps 2 --lane free", "compare", {"steps": 2, "lane": "free"}),
    ],
)
def test_the_command_line_records_and_compares_by_it(monkeypatch, command, name, told):
    seen = {}

    def listens(*_, **options):
        seen.update(options)
        raise parity.UsageError("heard")

    monkeypatch.setattr(f"parity.api.{name}", listens)
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code == 2
    assert told.items() <= seen.items()


# What comes back --------------------------------------------------------------------------------------------------


def test_the_result_says_what_was_found():
    result = diff(candidate=HALF)
    assert isinstance(result, parity.Comparison)
    assert result.verdict is parity.Verdict.DIVERGED
    assert (result.first_divergence.step, result.first_divergence.key.phase) == (1, "loss")
    (cause,) = result.causes
    assert (cause.code, cause.choice, cause.confirmed) == ("l2.penalty", "half", True)
    assert cause.fix_candidate == "penalty = lam * np.sum(W**2); dW += 2 * lam * W"
    assert set(result.frame["precision"]) == {"float32", "float64"}
    assert set(result.frame["step"]) == {0, 1, 2, 3, 4}  # 0: initial weights that both draw
    assert repr(result) == "<DIVERGED: there is a difference that rounding cannot explain>"


def test_the_command_line_uses_it(tmp_path, monkeypatch, capsys):
    path = tmp_path / "small.json"
    path.write_text(json.dumps(SETTINGS))
    seen = {}

    def told(experiment, **options):
        seen.update(options, experiment=experiment)
        raise parity.UsageError("heard")

    monkeypatch.setattr("parity.api.diff", told)
    with pytest.raises(SystemExit) as caught:
        main(["diff", str(path), "--candidate", HALF, "--steps", "2", "--lane", "free", "--declare", "l2.penalty=half"])
    assert caught.value.code == 2
    assert "heard" in capsys.readouterr().err
    assert (seen["experiment"], seen["candidate"], seen["steps"], seen["lane"]) == (str(path), HALF, 2, "free")
    assert seen["declare"] == {"l2.penalty": "half"}


class Collects(HTMLParser):
    """Tags and texts; every tag that is opened is closed."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = set(), [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, _):
        self.tags.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


def test_a_notebook_shows_verdict_divergence_cause_and_fix():
    shown = Collects(diff(candidate=HALF)._repr_html_())
    for text in (
        "DIVERGED",
        "First divergence",
        "Cause: l2.penalty=half",
        "penalty = lam * np.sum(W**2); dW += 2 * lam * W",
    ):
        assert text in shown.texts
    calm = Collects(diff()._repr_html_())
    assert "PARITY" in calm.texts
    assert "First divergence" not in calm.texts


def test_names_become_no_markup_in_a_notebook():
    evil = "</td><script>alert(1)</script>&amp;"
    Frozen.__qualname__ = evil
    try:
        html = diff({**SETTINGS, "name": evil}, candidate=Frozen, explain=False)._repr_html_()
    finally:
        Frozen.__qualname__ = "Frozen"
    shown = Collects(html)
    assert "script" not in shown.tags
    assert shown.texts.count(evil) == 2


def test_every_kind_of_result_can_be_shown():
    frozen = diff(candidate=Frozen, explain=False)
    for result in (diff(lane="free"), frozen, diff(candidate=Frozen, tolerance=[{"ulp": 1e300}])):
        assert Collects(result._repr_html_()).texts


# What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: diff("nowhere.toml"), "no such file"),
        (lambda: diff({**SETTINGS, "optimiser": "sgd"}), "did you mean 'optimizer'"),
        (lambda: diff(3), "compiled Keras model; received builtins.int"),
        (lambda: diff(None), "received builtins.NoneType"),
        (lambda: diff(SETTINGS, X), "y is missing"),
        (lambda: diff(SETTINGS, y=Y), "x is missing"),
        (lambda: diff(SETTINGS, X, Y[:-1]), "x has 40 examples and y has 39"),
        (lambda: diff(SETTINGS, X, np.hstack([Y, Y])), "the last layer has 1 units and the targets have 2 columns"),
        (lambda: diff(SETTINGS, X * np.nan, Y), "x is not finite"),
        (lambda: diff(SETTINGS, X.astype(str), Y), "x must be numbers"),
        (lambda: diff(SETTINGS, [[1, 2, 3], [4]], [1, 2]), "x is no array"),
        (lambda: diff(SETTINGS, [], []), "x is empty"),
        (lambda: diff({**SETTINGS, "data": {"source": "memory"}}), "handed over in Python"),
        (lambda: diff({**SETTINGS, "initial_weights": "memory"}), "handed over in Python"),
        (lambda: diff(epochs=1, steps=1), "give one of them"),
        (lambda: diff(steps=0), "steps: received 0"),
        (lambda: diff(batch_size="all"), "batch_size"),
        (lambda: diff(precision="float16"), "allowed: float32, float64, both"),
        (lambda: diff(lane="lokal"), "did you mean 'local'"),
        (lambda: diff(tolerance=1e-3), "tolerance: received 0.001; expected a list of rules"),
        (lambda: diff(tolerance={"rtol": 1e-3, "atol": 0}), "expected a list of rules"),
        (lambda: diff(tolerance=[{"rtol": 1e-3}]), "atol is not"),
        (lambda: diff(tolerance=[{"ulp": 1, "tensor": "dens/*"}]), "matches nothing"),
        (lambda: diff(declare={"l2.penality": "half"}), "did you mean"),
        (lambda: diff(changes={"layers.9.units": 3}), "layers.9 is not there"),
        (lambda: diff(candidate=object()), "neither a side nor"),
        (lambda: diff(candidate=dict), "has no method start, step, weights"),
        (lambda: diff(candidate="scrach"), "did you mean 'scratch'"),
    ],
)
def test_what_is_wrong_is_said_in_one_kind_of_exception(call, said):
    with pytest.raises(parity.UsageError) as caught:
        call()
    assert said in str(caught.value)


def test_what_a_side_raises_is_its_own():
    class Raises(Frozen):
        def step(self, *_):
            raise ZeroDivisionError("no luck")

    crash = diff(candidate=Raises).crash
    assert crash is not None
    assert crash.step == 1
    assert "ZeroDivisionError" in crash.message
    assert "no luck" in crash.message


def test_a_name_that_a_weight_does_not_have_comes_with_how_weights_are_named():
    class Named(Frozen):
        def start(self, experiment, weights):
            super().start(experiment, {"dense_9/kernel": weights["dense_9/kernel"]})

    message = diff(candidate=Named).crash.message
    assert "KeyError" in message
    assert "give the layers names, or take the weights in the order" in message


# What it costs ----------------------------------------------------------------------------------------------------


def test_importing_it_imports_nothing_else():
    code = (
        "import sys, parity; assert not hasattr(parity, 'nonsense'); dir(parity)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'numpy', 'pandas', 'pydantic', 'rich', 'jinja2', 'click', 'keras', 'tensorflow', 'plotly'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_everything_public_is_there():
    for name in parity.__all__:
        assert getattr(parity, name).__name__ == name
    assert set(parity.__all__) <= set(dir(parity))
    with pytest.raises(AttributeError, match="no attribute 'dif'"):
        _ = parity.dif
