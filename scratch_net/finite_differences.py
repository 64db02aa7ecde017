"""The second engine: gradients by trying, one parameter after the other, without any calculus.

    forward:   dL/dw ~ (L(w + h) - L(w)) / h             off by h/2 L'' + ...
    central:   dL/dw ~ (L(w + h) - L(w - h)) / (2 h)     off by h**2/6 L''' + ...

Both are also off by rounding: about u L / h, with u the unit roundoff. It needs one or two forward passes for each
parameter where backpropagation needs one backward pass for all of them, and it cannot be wrong about the chain rule.
"""

from __future__ import annotations

import numpy as np

from scratch_net.network import Gradients


class FiniteDifferences:
    """Takes the place of backpropagation in a network: `network.differences = FiniteDifferences()`."""

    def __init__(self, step=1e-4, *, central=False):
        self.step, self.central = step, central

    def gradients(self, network, y):
        """The gradients of the batch that the network last saw, whole and in parts; the network is left as it was."""
        left = [(layer, layer.x, layer.z.copy(), layer.a.copy()) for layer in network.layers]
        x = network.layers[0].x
        weights = network.weights
        slopes = {name: np.empty((3, w.size), w.dtype) for name, w in weights.items()}
        for name, w in weights.items():
            flat = w.reshape(-1)  # a view: writing to it changes the weight
            for index in range(w.size):
                slopes[name][:, index] = self._slope(flat, index, lambda: self._losses(network, x, y))
        for layer, x, z, a in left:
            layer.x, layer.z, layer.a, layer.da, layer.dz = x, z, a, None, None
        shaped = {name: slope.reshape(3, *weights[name].shape) for name, slope in slopes.items()}
        return Gradients(
            whole={name: slope[0] for name, slope in shaped.items()},
            data={name: slope[1] for name, slope in shaped.items()},
            penalty={name: slope[2] for name, slope in shaped.items() if name in network.regularizers},
        )

    def _slope(self, flat, index, losses):
        """How the losses change with one parameter."""
        kept, h = flat[index], flat.dtype.type(self.step)
        flat[index] = kept + h
        above = losses()
        flat[index] = kept - h if self.central else kept
        below = losses()
        flat[index] = kept
        return (above - below) / (2 * h if self.central else h)

    @staticmethod
    def _losses(network, x, y):
        """[whole, data, penalty] at the present weights."""
        loss = network.loss_of(y, network.forward(x))
        return np.array([loss.whole, loss.data, sum(loss.penalties.values())], network.dtype)
