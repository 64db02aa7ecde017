"""Arrays side by side in one array, so that one operation on that does for all of them.

Calling NumPy takes longer than what it then does to a small weight, and a step of Adam is a dozen calls: for each of
the weights, or once for the array that they are parts of.
"""

from __future__ import annotations

import numpy as np

LINE = 64  # bytes of a cache line: each part begins a whole number of them after the first


class SideBySide:
    """Weights, as parts of one array, and room of the same layout for what belongs to each: gradients, and slots."""

    def __init__(self, weights):
        self._places, size = {}, 0
        for name, w in weights.items():
            self._places[name] = slice(size, size + w.size), w.shape
            size += -(-w.nbytes // LINE) * LINE // w.itemsize
        self._size, self._dtype = size, w.dtype
        self.whole, self.weights = self.room()
        for name, w in weights.items():
            self.weights[name][...] = w
        self.gradient, self.gradients = self.room()

    def room(self):
        """An array of zeros, and its parts by the names of the weights."""
        whole = np.zeros(self._size, self._dtype)
        return whole, {name: whole[place].reshape(shape) for name, (place, shape) in self._places.items()}

    def are(self, weights, gradients):
        """Whether these are all of the weights, and their gradients, and not others of the same names."""
        if len(weights) != len(self.weights):
            return False
        for name, w in self.weights.items():
            if weights.get(name) is not w or gradients[name] is not self.gradients[name]:
                return False
        return True
