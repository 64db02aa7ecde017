"""A `train(X, y, epochs)` that cannot be stepped: `Side` calls it an epoch at a time, `Anew` from the start each time.

parity diff examples/styles/experiment.toml --candidate examples/styles/whole_training.py:Side
parity diff examples/styles/experiment.toml --candidate examples/styles/whole_training.py:Anew
"""

import numpy as np

from parity.sides.by_hand import Epochs, Lists

# The network as it was written -------------------------------------------------------------------------------------


class Model:
    def train(self, X, y, epochs, rate=0.5):
        """Returns the loss of every epoch, as it is after the epoch's update."""
        history = []
        for _ in range(epochs):
            hidden = self.activate(X @ self.W[0] + self.b[0])
            output = self.activate(hidden @ self.W[1] + self.b[1])
            d2 = 2 * (output - y) / y.size * output * (1 - output)
            d1 = d2 @ self.W[1].T * hidden * (1 - hidden)
            self.W = [self.W[0] - rate * X.T @ d1, self.W[1] - rate * hidden.T @ d2]
            self.b = [self.b[0] - rate * d1.sum(axis=0), self.b[1] - rate * d2.sum(axis=0)]
            history.append(np.mean((self.predict(X) - y) ** 2))
        return history

    def predict(self, X):
        return self.activate(self.activate(X @ self.W[0] + self.b[0]) @ self.W[1] + self.b[1])

    @staticmethod
    def activate(z):
        return 1 / (1 + np.exp(-z))


# What puts it in front of the harness ------------------------------------------------------------------------------


class Side(Epochs, Lists):
    def make(self, experiment):
        return Model()

    def train(self, x, y, epochs):
        return self.network.train(x, y, epochs)


class Anew(Side):
    continues = False
