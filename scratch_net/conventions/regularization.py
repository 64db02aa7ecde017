"""Other penalties than Keras'."""

from __future__ import annotations

import numpy as np

from scratch_net.regularizers import L1L2, L2


class HalfL2(L2):
    """`l2 / 2 * sum w**2`, gradient `l2 * w`: so that the factor two of the derivative cancels."""

    def penalty(self, w):
        return self.constant(self.l2, w.dtype) / 2 * np.vdot(w, w)

    def gradient(self, w):
        return self.constant(self.l2, w.dtype) * w


def _each_regularizer(network, replace):
    """Put `replace(regularizer)` in the place of every regularizer of the network."""
    for layer in network.layers:
        for place in ("kernel_regularizer", "bias_regularizer", "activity_regularizer"):
            regularizer = getattr(layer, place)
            if isinstance(regularizer, L1L2):
                regularizer.parts = [replace(part) for part in regularizer.parts]
            elif regularizer is not None:
                setattr(layer, place, replace(regularizer))


def _half_l2(network):
    _each_regularizer(network, lambda r: HalfL2(r.l2) if type(r) is L2 else r)


KERAS_CHOICE = {"l2.penalty": "whole"}
CHOICES = {"l2.penalty": {"half": _half_l2}}
