"""A small case whose reference is NumPy, so that it is recorded in a moment and without Keras."""

from __future__ import annotations

EXPERIMENT = """
name = "small"
batch_size = 8
steps = 30
loss = "mean_squared_error"
metrics = ["accuracy"]

[data]
source = "classification"
features = 5
classes = 3
samples = 20
one_hot = 3

[[layers]]
units = 4
activation = "tanh"
kernel_regularizer = { l2 = 0.01 }

[[layers]]
units = 3
activation = "softmax"

[optimizer]
class_name = "Adam"
learning_rate = 0.01
"""
CASE = """
title = "small"
about = ""

[[run]]
name = "plain"
reference = "scratch"
expect = { verdict = "PARITY" }

[[run]]
name = "half"
reference = "scratch"
candidate = "scratch[l2.penalty=half]"
expect = { verdict = "DIVERGED", step = 1, phase = "loss", tensor = "dense/kernel", part = "penalty" }
"""
