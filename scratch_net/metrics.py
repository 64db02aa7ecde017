"""Metrics of a batch, taken from the predictions before the update, as Keras takes them."""

from __future__ import annotations


def accuracy(y, p):
    """The share of examples that are predicted right, resolved from the shapes as Keras resolves `"accuracy"`.

    One output: `p > 0.5` against y (BinaryAccuracy). Integer labels: the first largest output against the label
    (SparseCategoricalAccuracy). Otherwise the first largest output against the first largest target
    (CategoricalAccuracy). Source: keras/src/trainers/compile_utils.py, get_metric.
    """
    if p.shape[-1] == 1:
        right = (p[..., 0] > 0.5) == y.reshape(p.shape[:-1])
    elif y.ndim < p.ndim or y.shape[-1] == 1:
        right = p.argmax(axis=-1) == y.reshape(p.shape[:-1])
    else:
        right = p.argmax(axis=-1) == y.argmax(axis=-1)
    return right.mean(axis=-1, dtype=p.dtype)


METRICS = {"accuracy": accuracy}
