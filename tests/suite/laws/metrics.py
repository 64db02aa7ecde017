"""Metrics: the oracle is what Keras makes of the name in a compiled model."""

from __future__ import annotations

import numpy as np

from keras_ref.runtime import keras, set_precision, tf
from scratch_net.metrics import METRICS
from tests.suite.laws import law

TIES = [[0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.2, 0.7]]
HALF = [[0.5], [np.nextafter(0.5, 1)], [np.nextafter(0.5, 0)], [0.0], [1.0]]

# Targets and outputs; Keras resolves a name by their shapes.
CASES = {
    "one output, p > 0.5 strictly": ([[1], [1], [1], [0], [1]], HALF),
    "one output, label at half": ([[0], [0], [0], [1], [0]], HALF),
    "one output, labels of rank one": ([1, 1, 0, 0, 1], HALF),
    "labels, the first of equals": ([0, 1, 0, 2], TIES),
    "labels, the last of equals": ([1, 2, 2, 2], TIES),
    "labels in a column": ([[0], [1], [0], [2]], TIES),
    "one-hot, the first of equals": (np.eye(3)[[0, 1, 0, 2]], TIES),
    "one-hot, the last of equals": (np.eye(3)[[1, 2, 2, 2]], TIES),
    "one-hot, targets that tie": ([[1, 1, 0], [0, 0, 0], [0, 1, 1], [0, 1, 1]], TIES),
    "one-hot, negative outputs": (np.eye(3)[[2, 1, 0, 2]], -np.array(TIES)),
    "one-hot, one of three right": (np.eye(3)[[0, 0, 1]], TIES[:2] + TIES[3:]),
}


@law("metrics")
def it_is_what_keras_resolves_the_name_to(name, precision):
    set_precision(precision)
    for case, (targets, outputs) in CASES.items():
        y, p = np.array(targets), np.array(outputs, precision)
        if not case.startswith("labels"):
            y = y.astype(precision)
        model = keras.Sequential([keras.Input((p.shape[1],)), keras.layers.Activation("linear")])
        model.compile(loss="mse", metrics=[name])
        model._compile_metrics.build(tf.constant(y), tf.constant(p))
        model._compile_metrics.update_state(tf.constant(y), tf.constant(p))
        expected = model._compile_metrics.result()[name].numpy()
        found = METRICS[name](y, p)
        assert found.dtype == expected.dtype == precision, case
        assert found == expected, case
