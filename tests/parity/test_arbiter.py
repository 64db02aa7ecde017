"""Which side is off in float32: each answer can be brought about, and only by what it says."""

from __future__ import annotations

import io

import pytest

from parity.arbiter import Outcome
from parity.config import validate
from parity.protocol import Key
from parity.report import as_json, markdown, terminal
from parity.run import diff

TABLE = {
    "data": {"source": "regression", "features": 3, "samples": 40},
    "layers": [{"units": 4, "activation": "tanh", "kernel_regularizer": {"l2": 0.01}}, {"units": 1}],
    "loss": "mse",
    "optimizer": "adam",
    "batch_size": 8,
    "steps": 7,
}
Z = Key("forward", "dense_1/pre_activation")
# Each side changes in float32 alone what it makes of `dense_1`'s product, when it trains and when it replays.
SIDES = """
import numpy as np
from scratch_net.adapter import ScratchSide

def coarse(z, x, kernel, bias):
    return z.astype(np.float16).astype(np.float32)

def shifted(share):
    "By a share of the budget: 2 gamma(5) |x| @ |kernel| + |bias|, for 4 products and one more term."
    def change(z, x, kernel, bias):
        return (z + share * 2 * 5 * 2**-24 * (np.abs(x) @ np.abs(kernel) + np.abs(bias)[:, None, :])).astype(np.float32)
    return change

class _Changed(ScratchSide):
    after = 0  # steps that are left as they are
    def start(self, experiment, weights):
        super().start(experiment, weights)
        self.taken = 0
    def steps(self, x, y):
        kernels, biases = [], []
        said = []
        for index in range(len(x)):
            layer = self.network.layers[1]
            kernels.append(layer.kernel.copy())
            biases.append(layer.bias.copy())
            said.append(_one(self, x[index], y[index]))
        stacked = _stack(said)
        self._spoil(stacked, stacked["output"]["dense"], np.stack(kernels), np.stack(biases), self.taken)
        self.taken += len(x)
        return stacked
    def replay(self, reference):
        said = super().replay(reference)
        before = reference.states_before()
        kernel, bias = (before["update", f"dense_1/{name}", "whole"] for name in ("kernel", "bias"))
        self._spoil(said, reference.arrays["forward", "dense/output", "whole"], kernel, bias, reference.first_step - 1)
        return said
    def _spoil(self, said, x, kernel, bias, taken):
        z = said["pre_activation"]["dense_1"]
        if z.dtype == np.float32:
            left = max(0, self.after - taken)
            changed = type(self).change(z, x, kernel, bias)
            said["pre_activation"]["dense_1"] = np.concatenate([z[:left], changed[left:]])

def _one(side, x, y):
    said = super(_Changed, side).steps(x[None], y[None])
    return {w: {n: np.array(a) for n, a in v.items()} if isinstance(v, dict) else np.array(v) for w, v in said.items()}

def _stack(said):
    first = said[0]
    return {
        word: {name: np.concatenate([step[word][name] for step in said]) for name in value}
        if isinstance(value, dict)
        else np.concatenate([step[word] for step in said])
        for word, value in first.items()
    }

class Coarse(_Changed):
    change = staticmethod(coarse)

class CoarseLater(Coarse):
    after = 4

class Above(_Changed):
    change = staticmethod(shifted(0.7))

class Below(_Changed):
    change = staticmethod(shifted(-0.7))

class FarAbove(_Changed):
    change = staticmethod(shifted(20))

class Secretive(ScratchSide):
    "Halves the penalty and does not say so."
    def __init__(self):
        super().__init__({"l2.penalty": "half"})
    def makes(self):
        return {}

class LastBit(ScratchSide):
    "Weights off by 3 ulp, in float32."
    def replay(self, reference):
        said = super().replay(reference)
        kernel = said["weights"]["dense/kernel"]
        if kernel.dtype == np.float32:
            said["weights"] = said["weights"] | {"dense/kernel": kernel + 3 * np.spacing(np.abs(kernel))}
        return said
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "sides.py").write_text(SIDES)

    def between(reference: str, candidate: str, **settings):
        names = (
            name if name.startswith(("scratch", "keras")) else f"{tmp_path}/sides.py:{name}"
            for name in (reference, candidate)
        )
        reference, candidate = names
        return diff(
            validate({**TABLE, **settings}), reference=reference, candidate=candidate, lanes=("local",), explain=False
        )

    return between


@pytest.mark.parametrize(
    ("reference", "candidate", "outcome", "step"),
    [
        ("scratch", "Coarse", Outcome.CANDIDATE, 1),
        ("scratch", "CoarseLater", Outcome.CANDIDATE, 5),
        ("Coarse", "scratch", Outcome.REFERENCE, 1),
        ("CoarseLater", "scratch", Outcome.REFERENCE, 5),
        ("Coarse", "FarAbove", Outcome.BOTH, 1),
        ("Above", "Below", Outcome.NEITHER, 1),
    ],
)
def test_the_side_that_is_off_is_named(reference, candidate, outcome, step, run):
    result = run(reference, candidate)
    found = result.arbiter
    assert (found.outcome, found.step, found.key) == (outcome, step, Z)
    if outcome in {Outcome.CANDIDATE, Outcome.REFERENCE}:
        errors = {side: abs(getattr(found, side) - found.exact) for side in ("reference", "candidate")}
        assert errors.pop(str(outcome)) > found.limit >= max(errors.values())
    assert found.candidate_float64 == pytest.approx(found.exact, rel=1e-15)


def test_a_different_function_is_no_rounding(run):
    found = run("scratch", "scratch[l2.penalty=half]").arbiter
    assert found.outcome is Outcome.FUNCTION
    assert found.candidate_float64 == pytest.approx(found.exact / 2)
    assert run("scratch", "scratch[l2.penalty=half]", precision="float32").arbiter == found


def test_some_units_in_the_last_place_are_nobodys_fault(run):
    found = run("scratch", "LastBit").arbiter
    assert (found.outcome, str(found.key)) == (Outcome.NEITHER, "update dense/kernel")


@pytest.mark.usefixtures("runtime")
def test_against_keras(run):
    assert run("keras", "Coarse", steps=2).arbiter.outcome is Outcome.CANDIDATE


def test_what_the_reference_is_known_to_make_the_arbiter_makes(run):
    """A declared difference, for instance: the candidate is the one that has another penalty."""
    found = run("scratch[l2.penalty=half]", "scratch").arbiter
    assert found.outcome is Outcome.FUNCTION
    assert found.exact == pytest.approx(found.reference)
    assert found.candidate_float64 == pytest.approx(2 * found.exact)


def test_the_arbiter_must_know_the_reference(run):
    """A reference with a convention of its own is nothing that another network could speak for."""
    found = run("Secretive", "scratch").arbiter
    assert found.outcome is None
    assert "does not compute it as the reference does" in found.why_not


@pytest.mark.parametrize(
    ("reference", "candidate", "settings"),
    [
        ("scratch", "scratch", {}),
        ("scratch", "Coarse", {"precision": "float64"}),
    ],
)
def test_without_a_difference_in_float32_nobody_is_asked(reference, candidate, settings, run):
    result = run(reference, candidate, **settings)
    assert result.arbiter is None
    assert as_json.as_dict(result)["arbiter"] is None


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        ("Coarse", "the candidate is off; worked out in float64 from the same operands it is"),
        ("scratch[l2.penalty=half]", "a different function"),
    ],
)
def test_every_report_tells_it(candidate, words, run):
    result = run("scratch", candidate)
    for report in (terminal, markdown):
        stream = io.StringIO()
        report.write(result, stream)
        assert words in " ".join(stream.getvalue().split())
    said = as_json.as_dict(result)["arbiter"]
    assert words in said["statement"]
    assert said["outcome"] == str(result.arbiter.outcome)
