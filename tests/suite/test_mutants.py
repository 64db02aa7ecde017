"""Every law can fail: the NumPy network is given a mistake that this law is there to see, and it does.

A law that is added without a mutant fails here, as does one that its mutant leaves in peace.
"""

from __future__ import annotations

import numpy as np
import pytest

from parity.config.philox import KerasRandom
from parity.verdict import Verdict
from scratch_net import activations, adapter, initializers, losses, metrics, optimizers, regularizers
from tests.suite import runs
from tests.suite.laws import LAWS
from tests.suite.table import TABLE

A_LITTLE = 1 + 1e-13


def scaled(original):
    return lambda *given: original(*given) * A_LITTLE


def wider(original):
    return lambda *given: original(*given).astype("float64")


def into_the_gradient(self, w, g, rate, m=None):
    g *= rate
    w -= g


# (kind, law) -> a row, where the mistake is made, and what stands there then: made of what stood there, or a value
MUTANTS = {
    ("activations", "the_value_is_keras_s"): ("tanh", activations.Tanh, "forward", scaled),
    ("activations", "the_gradient_is_keras_s"): (
        "relu",
        activations.Relu,
        "backward",
        lambda _: lambda self, da, z, a: da * (z >= 0),  # the other choice at the kink
    ),
    ("activations", "the_gradient_is_the_slope_of_the_value"): (
        "sigmoid",
        activations.Sigmoid,
        "backward",
        lambda _: lambda self, da, z, a: da * (a * (1 - z)),  # of z, not of a
    ),
    ("activations", "the_dtype_is_kept_and_the_input_left_alone"): ("relu", activations.Relu, "backward", wider),
    ("activations", "no_input_overflows"): (
        "sigmoid",
        activations.Sigmoid,
        "forward",
        lambda _: lambda self, z: 1 / (1 + np.exp(-z)),
    ),
    ("losses", "the_value_is_keras_s"): (
        "sparse",
        losses.SparseCategoricalCrossentropy,
        "value_from_logits",
        scaled,
    ),
    ("losses", "the_gradient_is_keras_s"): (
        "categorical",
        losses.CategoricalCrossentropy,
        "gradient_from_logits",
        lambda _: lambda self, y, z: (losses.softmax(z) - y) / z.shape[-2],  # right where a row of y sums to 1
    ),
    ("losses", "probabilities_are_kept_from_zero_and_one_as_keras_keeps_them"): ("binary", losses, "EPSILON", 1e-8),
    ("losses", "the_gradient_is_the_slope_of_the_value"): (
        "sse",
        losses.SumSquaredError,
        "gradient",
        lambda original: lambda *given: original(*given) / 2,
    ),
    ("losses", "the_way_over_the_logits_agrees_where_nothing_is_cut_off"): (
        "binary",
        losses.BinaryCrossentropy,
        "gradient_from_logits",
        lambda original: lambda *given: original(*given) * (1 + 1e-8),
    ),
    ("losses", "the_dtype_is_kept_and_the_targets_left_alone"): ("mse", losses.MeanSquaredError, "gradient", wider),
    ("regularizers", "the_penalty_is_keras_s"): (
        "L2",
        regularizers.L2,
        "penalty",
        lambda _: lambda self, w: self.l2 * np.vdot(w, w),  # lambda as it is written, not rounded to float32
    ),
    ("regularizers", "the_gradient_is_keras_s"): (
        "L1",
        regularizers.L1,
        "gradient",
        lambda _: lambda self, w: self.constant(self.l1, w.dtype) * np.where(w < 0, -1, 1),  # 1 at 0
    ),
    ("regularizers", "the_gradient_is_the_slope_of_the_penalty"): (
        "L1L2",
        regularizers.L2,
        "gradient",
        lambda original: lambda *given: original(*given) / 2,
    ),
    ("regularizers", "the_dtype_is_kept_and_the_weight_left_alone"): ("L2", regularizers.L2, "gradient", wider),
    ("initializers", "every_draw_is_keras_s_to_the_last_bit"): (
        "GlorotNormal",
        initializers,
        "TRUNCATED_STDDEV",
        np.nextafter(0.87962566103423978, 0),
    ),
    ("initializers", "its_spread_is_the_one_that_was_derived"): (
        "HeUniform",
        initializers,
        "variance",
        lambda _: lambda mode, shape: 1 / shape[0],  # LeCun's
    ),
    ("initializers", "a_bias_counts_its_length_as_both_fans"): (
        "GlorotUniform",
        initializers,
        "fans",
        lambda _: lambda shape: (1, shape[0]) if len(shape) == 1 else shape,
    ),
    ("initializers", "its_own_seed_is_used"): (
        "HeNormal, own seed",
        adapter,
        "KerasRandom",
        lambda _: lambda seed, dtype: KerasRandom(5, dtype),
    ),
    ("optimizers", "every_update_is_keras_s"): (
        "Adam",
        optimizers.Adam,
        "denominator",
        lambda _: lambda self, v: np.sqrt(v) + 1e-8,
    ),
    ("optimizers", "every_update_is_keras_s_late_in_training"): (
        "Adam amsgrad",
        optimizers.Adam,
        "corrections",
        lambda original: lambda self, t: original(self, min(t, t.dtype.type(900))),
    ),
    ("optimizers", "slots_are_named_and_begun_as_keras_s"): (
        "SGD momentum",
        optimizers.Optimizer,
        "start",
        lambda original: (
            lambda self, *given: (
                original(self, *given),
                setattr(self, "slots", {f"{name}/velocity": 0 * w for name, w in given[0].items()}),
            )
        ),
    ),
    ("optimizers", "weights_are_updated_in_place_and_gradients_left_alone"): (
        "SGD",
        optimizers.SGD,
        "step",
        lambda _: into_the_gradient,
    ),
    ("metrics", "it_is_what_keras_resolves_the_name_to"): (
        "accuracy",
        metrics.METRICS,
        "accuracy",
        lambda _: (
            lambda y, p: (
                ((p[..., :1] >= 0.5) == y.reshape(-1, 1)).mean(dtype=p.dtype)  # counts 0.5 itself
                if p.shape[-1] == 1
                else metrics.accuracy(y, p)
            )
        ),
    ),
}


def plant(monkeypatch, where, name, make):
    original = where[name] if isinstance(where, dict) else getattr(where, name)
    value = make(original) if callable(make) else make
    if isinstance(where, dict):
        monkeypatch.setitem(where, name, value)
    else:
        monkeypatch.setattr(where, name, value)


pytestmark = pytest.mark.filterwarnings("ignore:.*from_logits", "ignore:.*softmax over axis")  # meant


@pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{law.kind}-{law.name}")
def test_a_mistake_is_seen(law, monkeypatch):
    row, *mistake = MUTANTS[law.kind, law.name]
    assert law.of(TABLE[law.kind][row]), "the law is not about this row"
    plant(monkeypatch, *mistake)
    seen = []
    for precision in law.precisions:
        try:
            law.holds(TABLE[law.kind][row], precision)
        except (AssertionError, RuntimeWarning):  # warnings are errors
            seen.append(precision)
    assert seen


def test_no_mutant_is_of_a_law_that_is_gone():
    assert set(MUTANTS) == {(law.kind, law.name) for law in LAWS}


def test_an_epsilon_of_the_optimizer_is_seen_in_a_whole_run(monkeypatch, tmp_path):
    plant(monkeypatch, *MUTANTS["optimizers", "every_update_is_keras_s"][1:])
    number = list(TABLE["optimizers"]).index("Adam")
    result, _ = runs.compared.__wrapped__(number, "float64", runs.write_files(tmp_path))
    assert result.verdict is Verdict.DIVERGED
    assert result.first_divergence.key.phase == "update"


def test_a_rate_one_ulp_away_does_not_end_as_fit(tmp_path):
    files = runs.write_files(tmp_path)
    one = runs.experiment(0, "float64", files)
    rate = float(np.nextafter(one.optimizer.learning_rate, 1))
    other = one.model_copy(update={"optimizer": one.optimizer.model_copy(update={"learning_rate": rate})})
    first, second = (runs.fitted(of).get_weights() for of in (one, other))
    assert any((a != b).any() for a, b in zip(first, second, strict=True))
