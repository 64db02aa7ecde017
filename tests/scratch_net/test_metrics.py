"""Accuracy against the metric that Keras resolves `"accuracy"` to, in a compiled model."""

from __future__ import annotations

import numpy as np
import pytest

from keras_ref.runtime import keras, set_precision, tf
from parity.config.experiment import Metric
from scratch_net.metrics import METRICS, accuracy

TIES = [[0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.2, 0.7]]
HALF = [[0.5], [np.nextafter(0.5, 1)], [np.nextafter(0.5, 0)], [0.0], [1.0]]

CASES = {
    "binary, p > 0.5 strictly": ([[1], [1], [1], [0], [1]], HALF),
    "binary, label at half": ([[0], [0], [0], [1], [0]], HALF),
    "binary, labels of rank one": ([1, 1, 0, 0, 1], HALF),
    "sparse, the first of equals": ([0, 1, 0, 2], TIES),
    "sparse, the last of equals": ([1, 2, 2, 2], TIES),
    "sparse, labels in a column": ([[0], [1], [0], [2]], TIES),
    "categorical, the first of equals": (np.eye(3)[[0, 1, 0, 2]], TIES),
    "categorical, the last of equals": (np.eye(3)[[1, 2, 2, 2]], TIES),
    "categorical, targets that tie": ([[1, 1, 0], [0, 0, 0], [0, 1, 1], [0, 1, 1]], TIES),
    "categorical, negative outputs": (np.eye(3)[[2, 1, 0, 2]], -np.array(TIES)),
    "one of three right": (np.eye(3)[[0, 0, 1]], TIES[:2] + TIES[3:]),
}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_accuracy_is_the_one_keras_resolves(case, precision):
    targets, outputs = CASES[case]
    y, p = np.array(targets), np.array(outputs, precision)
    if not case.startswith("sparse"):
        y = y.astype(precision)
    set_precision(precision)
    model = keras.Sequential([keras.Input((p.shape[1],)), keras.layers.Activation("linear")])
    model.compile(loss="mse", metrics=["accuracy"])
    model._compile_metrics.build(tf.constant(y), tf.constant(p))
    model._compile_metrics.update_state(tf.constant(y), tf.constant(p))
    expected = model._compile_metrics.result()["accuracy"].numpy()
    found = accuracy(y, p)
    assert found.dtype == expected.dtype == precision
    assert found == expected


def test_the_cases_tell_right_from_wrong():
    found = {case: float(accuracy(np.array(y), np.array(p))) for case, (y, p) in CASES.items()}
    assert found["binary, p > 0.5 strictly"] == 0.6  # 0.5 itself counts as 0
    assert found["sparse, the first of equals"] == found["categorical, the first of equals"] == 1
    assert found["sparse, the last of equals"] == found["categorical, the last of equals"] == 0.25


def test_every_metric_is_tested_here():
    from typing import get_args

    assert set(METRICS) == set(get_args(Metric)) == {"accuracy"}
