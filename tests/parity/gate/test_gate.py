"""The gate: green on what is as it was, red on everything else, and it says which."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from parity.data.sources import MNIST_VARIABLE
from parity.gate.baseline import read
from parity.gate.suite import Gate, State, jobs
from parity.gate.text import result_facts
from parity.run import diff
from parity.sides import load_side, stand_in_for
from parity.verdict import Kind
from tests.parity.diagnosis.benches import bench

ROOT = Path(__file__).parents[3]
REPORTS = ROOT / "reports"
LATE = """
import numpy as np
from scratch_net.adapter import ScratchSide


class Late(ScratchSide):
    \"\"\"As Keras for nineteen steps; from then on its weights are kept small.\"\"\"

    def built(self, products=None):
        network = super().built(products)
        network.stacks = False
        optimizer, update = network.optimizer, network.optimizer.update

        def changed(weights, gradients):
            update(weights, gradients)
            if optimizer.iterations >= 20:
                for w in weights.values():
                    w *= 0.999

        optimizer.update = changed
        return network


class Crashes(ScratchSide):
    def start(self, experiment, weights):
        raise RuntimeError("no")


class OnlyTrains:
    \"\"\"Tells its loss and its weights, no more.\"\"\"

    factor = 1.0

    def start(self, experiment, weights):
        self.side = ScratchSide()
        self.side.start(experiment, weights)

    def step(self, x, y):
        return self.side.step(x, y)["loss"] * self.factor

    def weights(self):
        return self.side.weights()


class Wrong(OnlyTrains):
    factor = 1 + 1e-9


class Narrows(OnlyTrains):
    taken = 0

    def step(self, x, y):
        self.taken += 1
        loss = super().step(x, y)
        return loss if self.taken < 11 else np.float32(loss)
"""


def test_what_is_as_it_was_passes(book):
    code, said = book.gate()
    assert code == 0, said
    assert "1 PARITY, 1 DIVERGED as expected; every bit as when it was recorded" in said


def test_without_a_baseline_nothing_is_run_and_the_command_that_makes_one_is_told(book):
    (book.folder / "baseline.npz").unlink()
    book.write("side.py", "raise SystemExit('this must not be imported')")
    code, said = book.gate("--candidate", book.folder / "side.py:Side")
    assert code == 4
    folder = book.folder.as_posix()
    assert f"parity gate {folder} --candidate {folder}/side.py:Side --update" in said
    assert "imported" not in said


@pytest.mark.usefixtures("runtime")
def test_a_baseline_tells_which_network_stands_for_its_reference():
    recorded = [read(folder, "").contents.recorded for folder in sorted(REPORTS.iterdir())]
    told = {each.reference: each.stand_in for found in recorded for each in found}
    assert told == {name: stand_in_for(load_side(name)) for name in told}
    assert len(told) > 2


FAILS = """
from scratch_net.adapter import ScratchSide


class Fails:
    def start(self, experiment, weights):
        self.side, self.taken = ScratchSide(), 0
        self.side.start(experiment, weights)

    def step(self, x, y):
        self.taken += 1
        if self.taken == 3:
            raise RuntimeError("no third step")
        return 2 * self.side.step(x, y)["loss"]

    def weights(self):
        return self.side.weights()


class NoNumber(Fails):
    def step(self, x, y):
        return float("nan") * self.side.step(x, y)["loss"]
"""


def test_what_was_compared_before_a_crash_is_told(book):
    book.write("fails.py", FAILS)
    code, said = book.gate("--candidate", book.folder / "fails.py:Fails", "--run", "plain")
    assert code == 3
    assert "1 CRASHED" in said
    assert "RuntimeError in step() at step 3: no third step" in said
    assert re.search(r"first +step 1, loss: reference", said)


def test_what_no_formula_explains_is_told_as_beside_the_reference(book):
    book.write("fails.py", FAILS)
    book.change("experiment.toml", "softmax", "sigmoid")  # a softmax may overflow, and that has a cause
    assert book.gate("--update")[0] == 0
    code, said = book.gate("--candidate", book.folder / "fails.py:NoNumber", "--run", "plain")
    assert code == 1
    assert "the candidate's loss is not a number from step 1 on, the reference's is: look there" in said


def test_a_run_that_was_never_recorded_is_told(book):
    book.change("case.toml", 'name = "half"', 'name = "another"')
    code, said = book.gate()
    assert code == 4
    assert "nothing was recorded for another" in said


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('candidate = "scratch[l2.penalty=half]"', 'candidate = "scratch"', "expected DIVERGED, found PARITY"),
        ("step = 1", "step = 2", "expected the first divergence at"),
        (
            'expect = { verdict = "PARITY" }',
            'candidate = "scratch[loss.factor=half]"\nexpect = { verdict = "PARITY" }',
            "expected PARITY, found DIVERGED",
        ),
    ],
    ids=["parity where a difference is expected", "another place", "a difference where parity is expected"],
)
def test_verdicts_count_both_ways(book, old, new, word):
    book.change("case.toml", old, new)
    code, said = book.gate("--no-explain")
    assert code == 1
    assert word in said
    assert "parity gate" in said.splitlines()[-2]


def test_of_a_cause_that_is_one_of_several_readings_that_is_said():
    result = diff(bench().experiment, reference="scratch", candidate="scratch[l2.penalty=half]")
    assert result.diagnosis is not None
    (cause,) = result.diagnosis.causes
    one = replace(cause, among=2, alternatives=("l2.gradient=half",), separate_by="let the candidate tell its loss")
    said = list(result_facts(replace(result, diagnosis=replace(result.diagnosis, causes=(one,)))))
    at = [label for label, _ in said].index("cause")
    assert said[at][1].startswith("l2.penalty=half, in one of 2 readings: lam / 2 * sum(W**2)")
    assert said[at + 1 : at + 3] == [
        ("or", "l2.gradient=half: this run cannot tell them apart"),
        ("to tell them apart", "let the candidate tell its loss"),
    ]


def test_a_failure_says_why_and_what_to_change(book):
    book.change(
        "case.toml",
        'expect = { verdict = "DIVERGED", step = 1, phase = "loss", tensor = "dense/kernel", part = "penalty" }',
        'expect = { verdict = "PARITY" }',
    )
    code, said = book.gate()
    assert code == 1
    assert re.search(r"cause +l2.penalty=half: lam / 2 \* sum\(W\*\*2\)", said)
    assert re.search(r"fix +penalty = lam", said)
    assert re.search(r"first +step 1, loss, dense/kernel \(penalty part\)", said)
    assert len(said.splitlines()) < 24
    assert max(map(len, said.splitlines())) < 180


def test_a_mistake_between_kept_steps_is_seen_at_its_step(book):
    side = book.write("side.py", LATE)
    code, said = book.gate("--run", "plain", "--candidate", f"{side}:Late", "--no-explain")
    assert code == 0 or "scratch" in said  # a run that names its candidate keeps it
    book.change(
        "case.toml",
        'name = "plain"\nreference = "scratch"',
        f'name = "plain"\nreference = "scratch"\ncandidate = "{side}:Late"',
    )
    (outcome,) = Gate(jobs([book.folder], only="plain"), explain=False).run()
    assert outcome.state is State.FAILED
    first = outcome.result.first_divergence
    assert (first.step, first.lane) == (21, "free"), first  # the first loss after it
    assert (
        21
        not in json.loads((book.folder / "baseline.json").read_text())["recorded"][0]["precisions"]["float64"]["kept"]
    )


@pytest.mark.parametrize(("name", "state"), [("OnlyTrains", State.PASSED), ("Wrong", State.FAILED)])
def test_a_candidate_that_only_trains_is_held_against_the_recorded_drift(book, name, state):
    side = book.write("side.py", LATE)
    (outcome,) = Gate(jobs([book.folder], only="plain", candidate=f"{side}:{name}"), explain=False).run()
    assert outcome.state is state, outcome.problems
    if state is State.FAILED:
        assert outcome.result.first_divergence.step == 1  # at the kept steps as well


def test_a_type_that_changes_is_found_at_its_step(book):
    side = book.write("side.py", LATE)
    (outcome,) = Gate(jobs([book.folder], only="plain", candidate=f"{side}:Narrows"), explain=False).run()
    assert (outcome.state, outcome.result.crash) == (State.FAILED, None)
    first = outcome.result.first_divergence
    assert (first.step, first.kind, str(first.key)) == (11, Kind.DTYPE, "loss loss")


def test_other_bits_are_judged_by_the_budgets(book):
    """As another processor or another NumPy would give: the digest says that they are others, and decides nothing."""
    code, said = book.gate("--candidate", "scratch[gradient.engine=per_example]")
    assert code == 0
    assert "the candidate's bits changed in 1 of 2 since it was recorded" in said


def test_a_side_that_crashes_is_no_divergence(book):
    side = book.write("side.py", LATE)
    code, said = book.gate("--candidate", f"{side}:Crashes")
    assert code == 3
    assert "RuntimeError" in said


@pytest.mark.parametrize(
    ("candidate", "setting", "code"),
    [
        ("scratch[l2.penalty=half]", "", 0),
        ("scratch", "", 1),
        ("scratch[l2.penalty=half]", ', "layers.0.kernel_regularizer.l2" = 0.0', 1),
    ],
    ids=["just that", "the candidate has it no more", "it makes no difference"],
)
def test_a_declared_difference_must_be_there(book, candidate, setting, code):
    book.write(
        "case.toml",
        f'title = "declared"\nabout = ""\n[[run]]\nname = "declared"\nreference = "scratch"\n'
        f'candidate = "{candidate}"\n'
        f'set = {{ "declare" = {{ "l2.penalty" = "half" }}{setting} }}\nexpect = {{ verdict = "PARITY" }}\n',
    )
    book.gate("--update")
    assert book.gate()[0] == code


# Known exceptions --------------------------------------------------------------------------------------------------

DAY = timedelta(days=1)


def known(book, until, *, step=1, candidate="scratch[l2.penalty=half]"):
    book.write(
        "case.toml",
        f'title = "known"\nabout = ""\n[[run]]\nname = "plain"\nreference = "scratch"\ncandidate = "{candidate}"\n'
        f'expect = {{ verdict = "PARITY" }}\n[run.known]\nreason = "the old network halves"\nuntil = {until}\n'
        f'expect = {{ verdict = "DIVERGED", step = {step}, '
        'phase = "loss", tensor = "dense/kernel", part = "penalty" }\n',
    )
    return book.gate("--no-explain")


def test_a_known_exception_is_accepted_and_told(book):
    code, said = known(book, datetime.now(UTC).date() + DAY)
    assert code == 0
    assert "known: the old network halves (until " in said


def test_an_expired_exception_fails_and_says_when_it_ended(book):
    day = datetime.now(UTC).date() - DAY
    code, said = known(book, day)
    assert code == 1
    assert f"it was a known exception until {day}" in said


def test_an_exception_for_what_no_longer_fails_is_to_be_taken_out(book):
    code, said = known(book, datetime.now(UTC).date() + DAY, candidate="scratch")
    assert code == 1
    assert "take it out of case.toml" in said


def test_an_exception_covers_its_own_place_only(book):
    code, said = known(book, datetime.now(UTC).date() + DAY, step=2)
    assert code == 1
    assert "which is not the known exception" in said


# Which of them is stale --------------------------------------------------------------------------------------------


def test_an_experiment_that_changed_makes_the_baseline_stale(book):
    book.change("experiment.toml", "learning_rate = 0.01", "learning_rate = 0.02")
    code, said = book.gate()
    assert code == 4
    assert (
        "the baseline is stale: the experiment changed since it was recorded (optimizer.learning_rate: 0.01 -> 0.02)"
        in said
    )


def test_data_that_changed_make_the_baseline_stale(book, monkeypatch):
    from parity.data import sources

    monkeypatch.setitem(
        sources._READERS,
        "classification",
        lambda settings: tuple(a + 0 if a.ndim == 1 else a * 2 for a in sources.classification(settings)),
    )
    code, said = book.gate()
    assert code == 4
    assert "its data are others" in said


@pytest.mark.parametrize("source", ["regression", "classification"])
def test_generated_data_are_the_same_on_another_processor(source):
    """Or every baseline would be stale there. Older kernels of NumPy and OpenBLAS stand for it, where they exist."""
    program = (
        "import sys\n"
        "from parity.config import validate\n"
        "from parity.data import load_dataset\n"
        "size = {'targets': 4} if sys.argv[1] == 'regression' else {'classes': 4, 'one_hot': 4}\n"
        "data = {'source': sys.argv[1], 'features': 6, 'samples': 22, **size}\n"
        "network = {'layers': [{'units': 4}], 'loss': 'mse', 'optimizer': 'sgd'}\n"
        "print(load_dataset(validate({'data': data, **network})).digest)"
    )
    older = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"}
    digests = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, source],
            cwd=ROOT,
            env={**os.environ, **also},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for also in ({}, older)
    }
    assert len(digests) == 1


def test_a_name_or_a_tolerance_is_no_business_of_the_baselines(book):
    book.change("experiment.toml", 'name = "small"', 'name = "renamed"')
    assert book.gate()[0] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: run["final"].clear(), "do not tell the same of 0/float64"),
        (lambda run: run["scalars"]["loss loss"]["values"].pop(), "scalars.loss loss has 29 entries, not 30"),
        (lambda run: run["scalars"]["loss loss"]["allowed"].pop(), "scalars.loss loss (allowed) has 29 entries"),
        (lambda run: run["digests"].pop(), "digests has 29 entries, not 30"),
        (lambda run: run["drift"]["loss loss"].pop(), "drift.loss loss has"),
        (lambda run: run["kept"].__setitem__(-1, 31), "are not all among 30 steps"),
        (lambda run: run["kept"].__setitem__(-1, 19), "do not tell the same of 0/float64"),
    ],
)
def test_a_baseline_whose_parts_do_not_fit_is_not_judged_against(book, change, said):
    path = book.folder / "baseline.json"
    contents = json.loads(path.read_text())
    change(contents["recorded"][0]["precisions"]["float64"])
    path.write_text(json.dumps(contents))
    code, told = book.gate()
    assert code == 4, told
    assert said in told
    assert "mistake in keras-parity" not in told
    assert book.gate("--update")[0] == 0  # as the message says
    assert book.gate()[0] == 0


@pytest.mark.parametrize("spoil", ["npz", "negative", "nan", "not json"])
def test_a_baseline_that_was_tampered_with_is_not_judged_against(book, spoil):
    path = book.folder / "baseline.json"
    if spoil == "npz":
        arrays = dict(np.load(book.folder / "baseline.npz"))
        arrays["0/float64"] = arrays["0/float64"] + 0.0  # the same numbers, in another file
        np.savez_compressed(book.folder / "baseline.npz", **arrays)
    elif spoil == "not json":
        path.write_text("{")
    else:
        contents = json.loads(path.read_text())
        series = contents["recorded"][0]["precisions"]["float64"]["scalars"]["loss loss"]
        series["allowed"][4] = -1.0 if spoil == "negative" else float("nan")
        path.write_text(json.dumps(contents))
    code, said = book.gate()
    assert code == 4, said
    assert ("does not belong to" if spoil == "npz" else "cannot be read as a baseline") in said


# Data that is not here ---------------------------------------------------------------------------------------------


def test_a_case_without_its_data_is_never_parity(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv(MNIST_VARIABLE, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    found = jobs([REPORTS / "l2-mnist"])
    from parity.gate.suite import exit_code

    (outcome, *_) = outcomes = list(Gate(found).run())
    assert outcome.state is State.CANNOT_JUDGE
    assert "PARITY_MNIST" in outcome.problems[0]
    assert exit_code(outcomes) == 4
    allowed = list(Gate(found, without_data=True).run())
    assert {one.state for one in allowed} == {State.NOT_RUN}
    assert exit_code(allowed) == 4  # nothing was compared


# Recording anew ----------------------------------------------------------------------------------------------------

REFERENCE = """
from scratch_net.adapter import ScratchSide


class Reference(ScratchSide):
    def __init__(self, choices=None):
        super().__init__(choices or {CHOICES})
"""


@pytest.fixture
def moving(book):
    """A case whose reference is a file that can be changed."""

    def reference(choices: str) -> None:
        book.write("reference.py", REFERENCE.replace("CHOICES", choices))

    reference("")
    book.change("case.toml", 'reference = "scratch"', f'reference = "{book.folder}/reference.py:Reference"')
    assert book.gate("--update")[0] == 0
    return reference


def test_ci_does_not_decide_what_is_right(book, monkeypatch):
    monkeypatch.setenv("CI", "true")
    before = (book.folder / "baseline.json").read_bytes()
    code, said = book.gate("--update")
    assert code == 2
    assert "--allow-ci" in said
    assert (book.folder / "baseline.json").read_bytes() == before
    assert book.gate("--update", "--allow-ci")[0] == 0


def test_an_update_that_changes_nothing_says_so_and_writes_the_same_bytes(book, recorded):
    code, said = book.gate("--update")
    assert code == 0
    assert "safe: the reference did the same to the last bit: plain, half" in said
    assert (book.folder / "baseline.npz").read_bytes() == (recorded / "baseline.npz").read_bytes()


def test_an_update_rewrites_everything(book):
    path = book.folder / "baseline.json"
    contents = json.loads(path.read_text())
    contents["candidates"]["gone"] = {"float64": "0"}
    contents["recorded"].append({**contents["recorded"][0], "runs": ["gone"]})
    path.write_text(json.dumps(contents))
    book.gate("--update")
    assert "gone" not in path.read_text()


def test_an_update_says_whether_what_changed_is_safe(book, moving):
    moving('"gradient.engine": "per_example"')
    assert "safe: the reference moved by no more than rounding" in book.gate("--update")[1]
    moving('"l2.penalty": "half"')
    code, said = book.gate("--update")
    assert "NOT safe: the reference computes something else now" in said
    assert "step 1, loss, " in said
    assert code == 1  # the candidate is not that
    book.change("experiment.toml", "steps = 30", "steps = 4")
    assert "not comparable, the experiment is another" in book.gate("--update")[1]


def test_live_tells_the_three_apart(book, moving):
    code, said = book.gate("--live")
    assert code == 0
    assert "the reference is the same to the last bit" in said
    assert "the candidate is as expected beside both" in said

    book.change(
        "case.toml",
        'expect = { verdict = "PARITY" }',
        'candidate = "scratch[loss.factor=half]"\nexpect = { verdict = "PARITY" }',
    )
    code, said = book.gate("--live", "--no-explain")
    assert code == 1
    assert "the reference is the same to the last bit" in said
    assert "the candidate regressed: plain" in said

    book.change("case.toml", "loss.factor=half", "l2.penalty=half")
    moving('"l2.penalty": "half"')
    code, said = book.gate("--live", "--no-explain")
    assert code == 1
    assert "the reference changed, beyond rounding" in said
    assert "× its budget" in said

    contents = json.loads((book.folder / "baseline.json").read_text())
    contents["environment"]["numpy"] = "1.0"
    (book.folder / "baseline.json").write_text(json.dumps(contents))
    assert re.search(r"the environment changed:\n +numpy: 1.0 -> \d", book.gate("--live", "--no-explain")[1])


def test_update_takes_no_part_of_a_case(book):
    assert book.gate("--update", "--run", "plain")[0] == 2


# What is asked for ---------------------------------------------------------------------------------------------------


def test_the_report_of_what_failed_is_written(book, tmp_path):
    book.change("case.toml", 'candidate = "scratch[l2.penalty=half]"', 'candidate = "scratch[loss.factor=half]"')
    code, _ = book.gate("--precision", "float64", "--report", f"json={tmp_path / 'failed.json'}")
    assert code == 1
    suite = json.loads((tmp_path / "failed.json").read_text())
    assert suite["as_expected"] is False
    told = next(case["result"] for case in suite["cases"] if not case["as_expected"])
    assert told["candidate"] == "scratch[loss.factor=half]"
    assert [run["precision"] for run in told["runs"]] == ["float64"]
    assert told["environment"]["reference recorded on"]


def test_it_stops_at_the_first_failure_when_asked_to(book):
    book.change(
        "case.toml",
        'reference = "scratch"\nexpect',
        'reference = "scratch"\ncandidate = "scratch[loss.factor=half]"\nexpect',
    )
    assert "2 runs: 1 ok, 1 FAILED" in book.gate("--no-explain")[1]
    assert "1 run: 1 FAILED" in book.gate("--no-explain", "-x")[1]


def test_two_runs_of_one_name_are_a_mistake(book):
    book.change("case.toml", 'name = "half"', 'name = "plain"')
    code, said = book.gate()
    assert code == 2
    assert "given twice: plain" in said


def test_a_network_that_is_wrong_itself_explains_nothing(book, monkeypatch):
    """The network that tries conventions out is the one with the mistake: no cause is better than a wrong one."""
    from scratch_net.regularizers import L2

    monkeypatch.setattr(L2, "gradient", lambda self, w: self.constant(self.l2, w.dtype) * w)
    code, said = book.gate("--run", "plain")
    assert code == 1
    assert re.search(r"cause +UNEXPLAINED: the NumPy network.* is not in parity with the baseline", said)


# What a user brings ------------------------------------------------------------------------------------------------


def test_an_experiment_and_a_candidate_are_a_case(tmp_path, book):
    (book.folder / "case.toml").unlink()
    for name in ("baseline.json", "baseline.npz"):
        (book.folder / name).unlink()
    code, said = book.gate()
    assert code == 4
    assert "--update" in said


def test_a_folder_without_a_case_is_a_usage_error(tmp_path, book):
    (tmp_path / "empty").mkdir()
    book.folder = tmp_path / "empty"
    code, said = book.gate()
    assert code == 2
    assert "experiment.toml" in said


def test_a_run_that_is_not_there_names_the_nearest(book):
    code, said = book.gate("--run", "plan")
    assert code == 2
    assert "did you mean 'plain'?" in said


# The book ----------------------------------------------------------------------------------------------------------


def test_one_case_takes_no_tensorflow(book):
    """Nothing that takes seconds to import; benchmarks/gate.py has the seconds."""
    book.gate("--update")
    program = (
        "import sys\n"
        "from parity.cli import cli, run\n"
        "try:\n    code = run(cli, ['gate', sys.argv[1], '--run', 'plain'], 'parity')\n"
        "except SystemExit as error:\n    code = error.code\n"
        "heavy = {'tensorflow', 'keras', 'keras_ref', 'pandas', 'plotly', 'rich'} & sys.modules.keys()\n"
        "print(code, sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, book.folder], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("threads", [1, 2])
def test_the_book_is_green_with_any_number_of_threads(threads):
    with threadpool_limits(threads, user_api="blas"):
        outcomes = list(Gate(jobs([REPORTS]), without_data=not os.environ.get(MNIST_VARIABLE)).run())
    assert [(o.job.name, o.run.name, o.problems) for o in outcomes if o.exit_code] == []
    assert len(outcomes) > 40


def test_every_mistake_written_into_the_network_is_caught():
    words = [sys.executable, "-m", "tests.parity.gate.mutations"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_choice_and_no_defect_was_forgotten():
    from parity.sides import load_side
    from scratch_net import defects
    from tests.parity.gate.mutations import CONVENTIONS, DEFECTS, NO_MISTAKES

    known = load_side("scratch").side.conventions()
    assert CONVENTIONS.keys() | NO_MISTAKES.keys() == {f"{code}={choice}" for code in known for choice in known[code]}
    assert DEFECTS.keys() == defects.DEFECTS.keys()
