"""A cost function of one long vector, unrolled column by column as Matlab does it, and a line of gradient descent.

parity diff examples/styles/experiment.toml --candidate examples/styles/flat_vector.py:Side
"""

import numpy as np

from parity.sides.by_hand import Flat

# The network as it was written -------------------------------------------------------------------------------------


def nn_cost(theta, X, Y, inputs, hidden, outputs):
    """The cost and its gradient, unrolled like theta."""
    ends = np.cumsum([hidden * inputs, hidden, outputs * hidden, outputs])
    w1, b1, w2, b2 = np.split(theta, ends[:-1])
    W1, W2 = w1.reshape(hidden, inputs, order="F"), w2.reshape(outputs, hidden, order="F")
    A1 = 1 / (1 + np.exp(-(X @ W1.T + b1)))
    A2 = 1 / (1 + np.exp(-(A1 @ W2.T + b2)))
    cost = np.mean((A2 - Y) ** 2)
    D2 = 2 * (A2 - Y) / Y.size * A2 * (1 - A2)
    D1 = D2 @ W2 * A1 * (1 - A1)
    gradient = [(D1.T @ X).ravel("F"), D1.sum(axis=0), (D2.T @ A1).ravel("F"), D2.sum(axis=0)]
    return cost, np.concatenate(gradient)


# What puts it in front of the harness ------------------------------------------------------------------------------


class Side(Flat):
    kernel_layout, read = "units, inputs", "F"

    def step(self, x, y):
        cost, gradient = nn_cost(self.theta, x, y, 6, 5, 3)
        self.theta = self.theta - self.experiment.optimizer.learning_rate * gradient
        return cost
