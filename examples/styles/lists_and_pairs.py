"""Lists of (units, inputs) kernels and column biases, trained on a list of (x, y) pairs: half the squared norm as cost.

parity diff examples/styles/experiment.toml --candidate examples/styles/lists_and_pairs.py:Side
"""

import numpy as np

from parity.sides.by_hand import Lists, pairs

# The network as it was written -------------------------------------------------------------------------------------


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


class Network:
    def __init__(self, sizes):
        self.num_layers = len(sizes)
        self.biases = [np.random.randn(y, 1) for y in sizes[1:]]
        self.weights = [np.random.randn(y, x) for x, y in zip(sizes[:-1], sizes[1:], strict=True)]

    def feedforward(self, a):
        for b, w in zip(self.biases, self.weights, strict=True):
            a = sigmoid(w @ a + b)
        return a

    def cost(self, batch):
        return sum(0.5 * np.sum((self.feedforward(x) - y) ** 2) for x, y in batch) / len(batch)

    def update_mini_batch(self, mini_batch, eta):
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        for x, y in mini_batch:
            delta_b, delta_w = self.backprop(x, y)
            nabla_b = [nb + db for nb, db in zip(nabla_b, delta_b, strict=True)]
            nabla_w = [nw + dw for nw, dw in zip(nabla_w, delta_w, strict=True)]
        step = eta / len(mini_batch)
        self.weights = [w - step * nw for w, nw in zip(self.weights, nabla_w, strict=True)]
        self.biases = [b - step * nb for b, nb in zip(self.biases, nabla_b, strict=True)]

    def backprop(self, x, y):
        activations = [x]
        for b, w in zip(self.biases, self.weights, strict=True):
            activations.append(sigmoid(w @ activations[-1] + b))
        delta = (activations[-1] - y) * activations[-1] * (1 - activations[-1])
        delta_b, delta_w = [delta], [delta @ activations[-2].T]
        for layer in range(2, self.num_layers):
            a = activations[-layer]
            delta = self.weights[-layer + 1].T @ delta * a * (1 - a)
            delta_b.insert(0, delta)
            delta_w.insert(0, delta @ activations[-layer - 1].T)
        return delta_b, delta_w


# What puts it in front of the harness ------------------------------------------------------------------------------


class Side(Lists):
    held_in = "weights", "biases"
    kernel_layout, bias_layout = "units, inputs", "column"

    def make(self, experiment):
        return Network([6, 5, 3])

    def step(self, x, y):
        batch = pairs(x, y, "column")
        cost = self.network.cost(batch)
        self.network.update_mini_batch(batch, self.experiment.optimizer.learning_rate)
        return cost
