"""A network that shows nothing but the loss it prints: a closure over its weights. Its cost is halved.

parity diff examples/styles/experiment.toml --candidate examples/styles/loss_alone.py:Side
"""

import numpy as np

# The network as it was written -------------------------------------------------------------------------------------


def trainer(W1, b1, W2, b2, rate):
    """A function that takes one step and returns the cost before it."""

    def train(X, Y):
        nonlocal W1, b1, W2, b2
        A1 = 1 / (1 + np.exp(-(X @ W1 + b1)))
        A2 = 1 / (1 + np.exp(-(A1 @ W2 + b2)))
        D2 = (A2 - Y) / Y.size * A2 * (1 - A2)
        D1 = D2 @ W2.T * A1 * (1 - A1)
        W1, b1, W2, b2 = W1 - rate * X.T @ D1, b1 - rate * D1.sum(0), W2 - rate * A1.T @ D2, b2 - rate * D2.sum(0)
        return np.mean((A2 - Y) ** 2) / 2

    return train


# What puts it in front of the harness ------------------------------------------------------------------------------


class Side:
    def start(self, experiment, weights):
        self.train = trainer(*weights.values(), experiment.optimizer.learning_rate)

    def step(self, x, y):
        return self.train(x, y)

    def weights(self):
        return {}
