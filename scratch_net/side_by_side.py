"""Arrays side by side in one array, so that one operation on that does for all of them.

Calling NumPy takes longer than what it then does to a small weight: a step of Adam on six weights is sixty calls, and
ten on the array that they are parts of.
"""

from __future__ import annotations

import numpy as np

LINE = 64  # bytes of a cache line: each part begins at one


class SideBySide:
    """Weights, as parts of one array, and room of the same layout for what belongs to each: gradients, and slots."""

    def __init__(self, weights):
        self._places, size = {}, 0
        for name, w in weights.items():
            self._places[name] = slice(size, size + w.size), w.shape
            size += -(-w.nbytes // LINE) * LINE // w.itemsize
        self._shape, self._dtype = size, w.dtype
        self.whole, self.weights = self.room()
        for name, w in weights.items():
            self.weights[name][...] = w
        self.gradient, self.gradients = self.room()

    def room(self):
        """An array of zeros, and its parts by the names of the weights."""
        whole = np.zeros(self._shape, self._dtype)
        return whole, {name: whole[place].reshape(shape) for name, (place, shape) in self._places.items()}

    def are(self, weights, gradients):
        """Whether these are all of the weights, and their gradients, and not others of the same names."""
        of_weights, of_gradients = self.weights, self.gradients
        return len(weights) == len(of_weights) and all(
            weights.get(name) is w and gradients[name] is of_gradients[name] for name, w in of_weights.items()
        )
