"""Two traces against each other, and traces as sides: what `parity diff` says of the sides themselves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from parity.comparing import compare
from parity.config import validate
from parity.errors import SideError, UsageError
from parity.judge import BEGINS
from parity.recording import record
from parity.report.facts import headline
from parity.report.following import following
from parity.run import diff
from parity.trace.keep import Keep
from parity.verdict import Verdict

EXPERIMENT = {
    "name": "the l2 question in the small",
    "data": {"source": "regression", "features": 3, "samples": 11},
    "layers": [{"units": 4, "activation": "tanh", "kernel_regularizer": {"l2": 0.01}}, {"units": 1}],
    "loss": "mse",
    "optimizer": {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.5},
    "batch_size": 4,
    "steps": 9,
}
HALF = "scratch[l2.penalty=half]"
BARE = """
from scratch_net.adapter import ScratchSide

class Bare:
    def __init__(self): self.side = ScratchSide(CHOICES)
    def start(self, experiment, weights): self.side.start(experiment, weights)
    def step(self, x, y): return self.side.step(x, y)["loss"]
    def weights(self): return self.side.weights()
"""


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """Recordings of both sides, by both lambdas."""
    folder = tmp_path_factory.mktemp("traces")
    for name, lam in (("some", 0.01), ("none", 0.0)):
        table = json.loads(json.dumps(EXPERIMENT))
        table["layers"][0]["kernel_regularizer"]["l2"] = lam
        for side, choices in (("plain", "scratch"), ("half", HALF)):
            record(validate(table), choices, folder / name / side)
    return folder


def said(result):
    """What has to be the same: the verdict, what came first, and why."""
    first, causes = result.first_divergence, result.diagnosis.causes if result.diagnosis else ()
    place = first and (first.step, first.key, first.lane, first.precision, first.index)
    return result.verdict, place, {str(cause) for cause in causes}, result.steps_compared, result.meaning


def test_the_founding_question_in_both_precisions(traces):
    live = diff(validate(EXPERIMENT), reference="scratch", candidate=HALF)
    recorded = compare(traces / "some" / "plain", traces / "some" / "half")
    assert said(recorded) == said(live)
    assert recorded.verdict is Verdict.DIVERGED
    assert [run.precision for run in recorded.runs] == ["float64", "float32"]
    assert {str(cause) for cause in recorded.diagnosis.causes} == {"l2.penalty=half"}
    assert all(cause.confirmed for cause in recorded.diagnosis.causes)
    nothing = compare(traces / "none" / "plain", traces / "none" / "half")
    assert nothing.verdict is Verdict.PARITY
    assert all(run.judge.audited for run in nothing.runs)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_trace_stands_wherever_a_side_does(traces, precision):
    experiment = validate(EXPERIMENT | {"precision": precision})
    plain, half = str(traces / "some" / "plain"), str(traces / "some" / "half")
    live = said(diff(experiment, reference="scratch", candidate=HALF))
    for reference, candidate in ((plain, HALF), ("scratch", half), (plain, half)):
        assert said(diff(experiment, reference=reference, candidate=candidate)) == live
    for reference, candidate in ((plain, "scratch"), ("scratch", plain), (half, HALF)):
        assert diff(experiment, reference=reference, candidate=candidate).verdict is Verdict.PARITY


def test_a_candidate_that_tells_loss_and_weights_alone_is_judged_as_it_is_live(tmp_path, traces):
    for choices, name in (({}, "plain"), ({"l2.penalty": "half"}, "half")):
        (tmp_path / f"{name}.py").write_text(f"CHOICES = {choices!r}\n{BARE}")
        side = f"{tmp_path / name}.py:Bare"
        record(validate(EXPERIMENT), side, tmp_path / name)
        live = diff(validate(EXPERIMENT), reference="scratch", candidate=side)
        recorded = compare(traces / "some" / "plain", tmp_path / name)
        assert said(recorded) == said(live)
        assert recorded.verdict is (Verdict.PARITY if name == "plain" else Verdict.DIVERGED)


@pytest.mark.parametrize("keep", [Keep(every=3), Keep(around=5)], ids=str)
def test_what_was_kept_is_compared_and_the_rest_told(tmp_path, traces, keep):
    record(validate(EXPERIMENT), HALF, tmp_path / "half", keep=keep)
    record(validate(EXPERIMENT), "scratch", tmp_path / "plain", keep=keep)
    kept = [step for first, last in keep.spans(9) for step in range(first, last + 1)]
    results = [
        compare(traces / "some" / "plain", tmp_path / "half"),
        compare(tmp_path / "plain", traces / "some" / "half"),
        compare(tmp_path / "plain", tmp_path / "half"),
        diff(validate(EXPERIMENT), reference="scratch", candidate=str(tmp_path / "half")),
        diff(validate(EXPERIMENT), reference=str(tmp_path / "plain"), candidate=HALF),
    ]
    for result in results:
        assert result.steps_compared == len(kept)
        assert result.first_divergence.step == kept[0]
        assert {str(cause) for cause in result.diagnosis.causes} == {"l2.penalty=half"}
        assert any(f"{len(kept)} of 9 are recorded" in item.why for item in result.not_compared)
    assert compare(tmp_path / "plain", traces / "some" / "plain", explain=False).verdict is Verdict.PARITY


def test_the_loss_of_steps_is_compared_on_the_common_ones(tmp_path, traces):
    record(validate(EXPERIMENT | {"steps": 4}), "scratch", tmp_path)
    for pair in ((tmp_path, traces / "some" / "plain"), (traces / "some" / "plain", tmp_path)):
        result = compare(*pair)
        assert (result.verdict, result.steps_compared) == (Verdict.PARITY, 4)
    result = diff(validate(EXPERIMENT), reference="scratch", candidate=str(tmp_path))
    assert (result.verdict, result.steps_compared) == (Verdict.PARITY, 4)
    assert any("4 of 9 are recorded: 1 to 4" in item.why for item in result.not_compared)


STOPS = """
from scratch_net.adapter import ScratchSide

class Stops:
    def __init__(self): self.side, self.taken = ScratchSide(CHOICES), 0
    def start(self, experiment, weights): self.side.start(experiment, weights)
    def step(self, x, y):
        self.taken += 1
        if self.taken == 6:
            raise RuntimeError("no more")
        return self.side.step(x, y)["loss"]
    def weights(self): return self.side.weights()
"""


@pytest.mark.parametrize(("keep", "there"), [(Keep(), 5), (Keep(every=3), 4)], ids=str)
def test_a_recording_that_was_not_finished_is_no_parity(tmp_path, traces, keep, there):
    experiment = validate(EXPERIMENT | {"precision": "float64"})
    for name, choices in (("cut", {}), ("half", {"l2.penalty": "half"})):
        (tmp_path / f"{name}.py").write_text(f"CHOICES = {choices!r}\n{STOPS}")
        with pytest.raises(SideError, match="no more"):
            record(experiment, f"{tmp_path / name}.py:Stops", tmp_path / name, keep=keep)
    whole, cut = traces / "some" / "plain", tmp_path / "cut"
    command = f"parity compare {whole} {cut}"
    result = compare(whole, cut, command=command)
    assert (result.verdict, result.first_divergence) == (Verdict.CANNOT_JUDGE, None)
    (item,) = following(result)
    assert f"cut ends after step {there}: it was to have 9" in item.why
    assert item.command == f"{command} --steps {there}"
    assert compare(whole, cut, steps=there).verdict is Verdict.PARITY
    assert diff(experiment, reference="scratch", candidate=str(cut)).verdict is Verdict.CANNOT_JUDGE
    assert compare(whole, tmp_path / "half").verdict is Verdict.DIVERGED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "adam"}, "was recorded with another experiment: optimizer"),
        ({"layers": [{"units": 4}, {"units": 1}]}, "another experiment: layers.0.activation"),
        ({"layers": [{"units": 4, "activation": "tanh"}, {"units": 1}]}, "layers.0.kernel_regularizer"),
        (
            {"data": {"source": "regression", "features": 3, "samples": 11, "seed": 1}},
            "other data: x of step 1 differs",
        ),
        ({"data": {"source": "regression", "features": 3, "samples": 12}}, "recorded with other data"),
        ({"batch_size": 3}, "recorded with other data: x of step 1 is"),
        (
            {"shuffle": True},
            "x of step 1 differs; shuffle is True there and False here; step 2 has its row 0 as row 2 there",
        ),
    ],
    ids=["optimizer", "activation", "penalty", "data", "examples", "batch", "order"],
)
def test_traces_of_different_runs_are_not_compared(tmp_path, traces, change, message):
    given = {f"{layer}/{kind}": 0.5 for layer in ("dense", "dense_1") for kind in ("kernel", "bias")}
    shapes = {"dense/kernel": (3, 4), "dense/bias": (4,), "dense_1/kernel": (4, 1), "dense_1/bias": (1,)}
    weights = {name: np.full(shapes[name], value).tolist() for name, value in given.items()}
    record(validate(EXPERIMENT | {"initial_weights": weights}), "scratch", tmp_path / "one")
    record(validate(EXPERIMENT | {"initial_weights": weights} | change), "scratch", tmp_path / "other")
    with pytest.raises(UsageError) as caught:
        compare(tmp_path / "one", tmp_path / "other")
    assert message in str(caught.value)


SMALL = EXPERIMENT | {
    "layers": [{"units": 4, "activation": "tanh", "kernel_initializer": "he_normal"}, {"units": 1}],
    "precision": "float64",
    "steps": 2,
}


def test_other_initial_weights_are_a_divergence_before_the_first_step(tmp_path):
    experiment = validate(SMALL)
    record(experiment, "scratch", tmp_path / "plain")
    record(experiment, "scratch[init.fan=swapped]", tmp_path / "swapped")
    record(validate(SMALL | {"seed": 3}), "scratch", tmp_path / "seed")
    for name, causes in (("swapped", {"init.fan=swapped"}), ("seed", set())):
        folder = tmp_path / name
        recorded = compare(tmp_path / "plain", folder)
        for result in (recorded, diff(experiment, reference="scratch", candidate=str(folder))):
            first = result.first_divergence
            assert (result.verdict, result.exit_code) == (Verdict.DIVERGED, 1)
            assert (first.step, str(first.key), first.note) == (0, "update dense/kernel", BEGINS)
            assert (first.reference, first.candidate) != (0, 0)
            assert first.reference != first.candidate
            assert {str(cause) for cause in result.diagnosis.causes} == causes
            told = [item.why for item in following(result)]
            assert told[0] == f"record {folder} again, from the weights that the reference began with"
        if not causes:
            assert recorded.diagnosis.unable.startswith("every step the candidate takes is what the reference takes")


def test_other_weights_than_the_experiment_names(tmp_path):
    """Those of a candidate are a divergence, with a square kernel that was recorded transposed named as that."""
    kernel = np.arange(9.0).reshape(3, 3) / 10
    table = SMALL | {"layers": [{"units": 3, "activation": "tanh"}, {"units": 1}]}
    experiment = validate(table | {"initial_weights": {"dense/kernel": kernel.tolist()}})
    record(validate(table | {"initial_weights": {"dense/kernel": kernel.T.tolist()}}), "scratch", tmp_path / "turned")
    for steps in (1, 2):
        short = experiment.model_copy(update={"steps": steps})
        result = diff(short, reference="scratch", candidate=str(tmp_path / "turned"), explain=False)
        first = result.first_divergence
        assert (result.verdict, first.step) == (Verdict.DIVERGED, 0)
        assert (first.index, first.note) == ((0, 2), f"{BEGINS}; these are their transpose")
        assert (first.reference, first.candidate) == (0.2, 0.6)
    with pytest.raises(UsageError, match="turned: began with other weights than the experiment names: dense/kernel"):
        diff(experiment, reference=str(tmp_path / "turned"), candidate="scratch")


def test_a_recording_of_one_precision_is_judged_in_that_unless_another_was_asked_for(tmp_path, traces):
    record(validate(SMALL | {"precision": "float32"}), "scratch", tmp_path / "coarse")
    record(validate(SMALL), "scratch", tmp_path / "fine")
    left_alone = {name: value for name, value in SMALL.items() if name != "precision"}
    for folder, judged, left_out in (("coarse", "float32", "float64"), ("fine", "float64", "float32")):
        trace = str(tmp_path / folder)
        for side in ({"reference": "scratch", "candidate": trace}, {"reference": trace, "candidate": "scratch"}):
            result = diff(validate(left_alone), **side)
            assert result.verdict is Verdict.PARITY
            assert [run.precision for run in result.runs] == [judged] == [result.experiment.precision]
            why = {item.what: item.why for item in result.not_compared}[left_out]
            assert why == f"not judged: {trace} was recorded in {judged} alone"
            for asked in ("both", left_out):
                with pytest.raises(UsageError, match=f"was recorded in {judged}, not in {left_out}"):
                    diff(validate(SMALL | {"precision": asked}), **side)
    with pytest.raises(UsageError, match="there is no precision that both were recorded in"):
        compare(tmp_path / "coarse", tmp_path / "fine")
    record(validate(left_alone), "scratch", tmp_path / "both")
    result = compare(tmp_path / "both", tmp_path / "fine")
    assert [run.precision for run in result.runs] == ["float64"]
    assert any(
        item.what == "float32" and "fine was recorded in float64 alone" in item.why for item in result.not_compared
    )
    asked = compare(tmp_path / "both", tmp_path / "fine", precision="float64")
    assert not any(item.what == "float32" for item in asked.not_compared)


def test_a_reference_that_the_network_cannot_stand_for_judges_nothing(traces, tmp_path):
    result = compare(named(traces / "some" / "half", "mine", tmp_path), traces / "some" / "half")
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert any("not in parity with the reference" in item.why for item in result.not_compared)
    assert "the built-in NumPy network is not in parity with the reference (step 1, " in headline(result)
    assert following_words(result)[0].endswith("against Keras: it computes something else, or is not whole")


def following_words(result):
    return [item.why for item in following(result)]


def named(folder, side, into):
    """A copy of a trace that says it is of another side."""
    copy = into / f"{side}-{folder.name}".replace("[", "-").replace("]", "")
    shutil.copytree(folder, copy)
    for manifest in copy.rglob("manifest.json"):
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"side": side}))
    return copy


def test_a_reference_that_says_what_it_makes_is_judged_by_a_network_that_makes_it(traces, tmp_path):
    half, plain = traces / "some" / "half", traces / "some" / "plain"
    assert compare(half, half).verdict is Verdict.PARITY
    result = compare(half, plain)
    assert result.verdict is Verdict.DIVERGED
    assert {(cause.code, cause.choice) for cause in result.diagnosis.causes} == {("l2.penalty", "whole")}
    for side in ("scratch[l2.penalty=odd]", "scratch[l3.penalty=half]", "scratch[l2]", "sklearn[l2.penalty=half]"):
        assert compare(named(half, side, tmp_path), half, explain=False).verdict is Verdict.CANNOT_JUDGE


COMPARED = """
import sys
from parity.cli import main
try:
    main(["compare", *sys.argv[1:], "-q"])
except SystemExit as end:
    print(end.code, *[name for name in ("tensorflow", "keras", "keras_ref") if name in sys.modules])
"""


def test_neither_tensorflow_nor_keras_is_imported(traces):
    folders = [traces / "some" / "plain", traces / "some" / "half"]
    done = subprocess.run([sys.executable, "-c", COMPARED, *folders], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1"


def test_a_folder_with_the_name_of_a_built_in_side_is_a_trace_for_compare_alone(tmp_path, traces, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(traces / "some" / "plain", tmp_path / "scratch")
    assert compare("scratch", "scratch", explain=False).reference == "./scratch"
