"""The dense layer once more, one example at a time: the loops that the matrix products of `layers.Dense` stand for.

Slow, and for reading: here the sums over examples are sums.
"""

from __future__ import annotations

import numpy as np

from scratch_net.layers import Dense


class PerExampleDense(Dense):
    """`Dense` with every matrix product written as a loop over the examples of the batch."""

    def affine(self, x):
        """`z_i = kernel.T @ x_i + bias` for each example i."""
        rows = [self.kernel.T @ example for example in x]
        return np.stack(rows if self.bias is None else [row + self.bias for row in rows])

    def backward_weights(self, x, dz):
        """`dL/dkernel = sum_i outer(x_i, dz_i)` and `dL/dbias = sum_i dz_i`."""
        gradients = {f"{self.name}/kernel": np.zeros_like(self.kernel)}
        if self.bias is not None:
            gradients[f"{self.name}/bias"] = np.zeros_like(self.bias)
        for example, delta in zip(x, dz, strict=True):
            gradients[f"{self.name}/kernel"] += np.outer(example, delta)
            if self.bias is not None:
                gradients[f"{self.name}/bias"] += delta
        return gradients

    def backward_input(self, dz):
        """`dx_i = kernel @ dz_i` for each example i."""
        return np.stack([self.kernel @ delta for delta in dz])
