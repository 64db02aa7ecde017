"""A small network as people write them, and what becomes of it when a line of it is changed."""

from __future__ import annotations

from parity.config import validate
from parity.run import diff

TABLE = {
    "data": {"source": "regression", "features": 4, "samples": 24, "targets": 2},
    "layers": [{"units": 3, "activation": "sigmoid"}, {"units": 2, "activation": "sigmoid"}],
    "loss": "mean_squared_error",
    "optimizer": {"class_name": "SGD", "learning_rate": 0.5},
    "batch_size": 6,
    "steps": 7,
    "precision": "float64",
}
NETWORK = """
import time
import numpy as np

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

class Net:
    def start(self, experiment, weights):
        self.names = [layer.name for layer in experiment.layers]
        self.W = [weights[f"{{name}}/kernel"] for name in self.names]
        self.b = [weights[f"{{name}}/bias"] for name in self.names]
        self.rate, self.taken = experiment.optimizer.learning_rate, 0
        {start}

    def step(self, x, y):
        self.taken += 1
        outputs = [x]
        for W, b in zip(self.W, self.b):
            outputs.append(sigmoid(outputs[-1] @ W + b))
        error = outputs[-1] - y
        loss = (error**2).mean()
        delta = 2 * error / error.size * outputs[-1] * (1 - outputs[-1])
        gradients = []
        for layer in (1, 0):
            gradients.insert(0, (outputs[layer].T @ delta, delta.sum(axis=0)))
            delta = delta @ self.W[layer].T * outputs[layer] * (1 - outputs[layer])
        for layer, (dW, db) in enumerate(gradients):
            self.W[layer] -= self.rate * dW
            self.b[layer] -= self.rate * db
        {step}
        return {told}

    def weights(self):
        named = {{}}
        for name, W, b in zip(self.names, self.W, self.b):
            named |= {{f"{{name}}/kernel": W, f"{{name}}/bias": b}}
        {weights}
        return named
"""


def line_of(text: str, written: str) -> int:
    """The number of the line with this text in it."""
    return next(number for number, line in enumerate(written.splitlines(), 1) if text in line)


def network(path, *, start="pass", step="pass", told="loss", weights="pass"):
    """Write the network with lines of its own at the end of each method; returns its source."""
    source = NETWORK.format(start=start, step=step, told=told, weights=weights)
    path.write_text(source)
    return source


def judged(path, *, reference: str = "scratch", **settings):
    options = {name: settings.pop(name) for name in ("timeout", "lanes", "explain", "progress") if name in settings}
    return diff(validate(TABLE | settings), reference=reference, candidate=f"{path}:Net", **options)
