"""`parameters["W1"]`, `parameters["b1"]`, ...: examples are columns, kernels (units, inputs), functions do the work.

parity diff examples/styles/experiment.toml --candidate examples/styles/numbered.py:Side
"""

import numpy as np

from parity.sides.by_hand import Numbered

# The network as it was written -------------------------------------------------------------------------------------


def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


def forward(X, parameters):
    A1 = sigmoid(parameters["W1"] @ X + parameters["b1"])
    A2 = sigmoid(parameters["W2"] @ A1 + parameters["b2"])
    return A1, A2


def compute_cost(A2, Y):
    m = Y.shape[1]
    return np.sum((A2 - Y) ** 2) / m


def backward(X, Y, A1, A2, parameters):
    m = X.shape[1]
    dZ2 = 2 * (A2 - Y) * A2 * (1 - A2)
    dZ1 = parameters["W2"].T @ dZ2 * A1 * (1 - A1)
    return {
        "dW2": dZ2 @ A1.T / m,
        "db2": np.sum(dZ2, axis=1, keepdims=True) / m,
        "dW1": dZ1 @ X.T / m,
        "db1": np.sum(dZ1, axis=1, keepdims=True) / m,
    }


def update(parameters, grads, learning_rate):
    return {name: value - learning_rate * grads[f"d{name}"] for name, value in parameters.items()}


# What puts it in front of the harness ------------------------------------------------------------------------------


class Side(Numbered):
    kernel_layout, bias_layout = "units, inputs", "column"

    def step(self, x, y):
        A1, A2 = forward(x.T, self.parameters)
        grads = backward(x.T, y.T, A1, A2, self.parameters)
        self.parameters = update(self.parameters, grads, self.experiment.optimizer.learning_rate)
        return compute_cost(A2, y.T)
