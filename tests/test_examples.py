"""Real hand-written code in its styles, each with the verdict and the causes that are its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity.config import load_experiment
from parity.run import diff
from parity.verdict import Verdict

EXAMPLES = Path(__file__).parent.parent / "examples"
CAUSES = {
    "styles/lists_and_pairs.py:Side": ["loss.factor=half", "loss.outputs=sum"],
    "styles/numbered.py:Side": ["loss.outputs=sum"],
    "styles/flat_vector.py:Side": [],
    "styles/loss_alone.py:Side": ["loss.factor=half"],
    "styles/whole_training.py:Side": ["report.when=after_update"],
    "styles/whole_training.py:Anew": ["report.when=after_update"],
}


def judged(experiment: str, candidate: str, **settings):
    config = load_experiment(EXAMPLES / experiment, list(settings.pop("overrides", [])))
    return diff(config.model_copy(update=settings), reference="scratch", candidate=str(EXAMPLES / candidate))


def causes(result) -> list[str]:
    return sorted(str(cause) for cause in result.diagnosis.causes) if result.diagnosis else []


@pytest.mark.parametrize("candidate", CAUSES)
def test_each_style_is_told_what_it_does_differently(candidate):
    result = judged("styles/experiment.toml", candidate, precision="float64")
    assert causes(result) == CAUSES[candidate]
    assert result.verdict is (Verdict.DIVERGED if CAUSES[candidate] else Verdict.PARITY)


def test_every_style_is_looked_at():
    assert {path.name for path in (EXAMPLES / "styles").glob("*.py")} == {
        name.partition(":")[0].removeprefix("styles/") for name in CAUSES
    }


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_delta_under_the_wrong_index_is_named_as_what_it_is(precision):
    result = judged("three_layers.toml", "three_layer_net.py:ThreeLayerNet", precision=precision)
    assert causes(result) == ["gradient.index=shifted"]
    first = result.first_divergence
    assert (first.step, str(first.key)) == (1, "update dense/kernel")


def test_with_the_index_put_right_it_trains_like_the_reference():
    assert judged("three_layers.toml", "three_layer_net.py:Corrected").verdict is Verdict.PARITY


@pytest.mark.parametrize(("lam", "expected"), [(0, []), (0.01, ["l2.constant=exact", "l2.penalty=half"])])
def test_the_seed_network_of_the_founding_question(lam, expected):
    overrides = [f"layers.{layer}.kernel_regularizer.l2={lam}" for layer in (0, 1)]
    case, candidate = "../reports/l2-digits/experiment.toml", "per_example_net.py:PerExampleNet"
    result = judged(case, candidate, overrides=overrides, precision="float64")
    assert causes(result) == expected
    assert result.verdict is (Verdict.DIVERGED if expected else Verdict.PARITY)
