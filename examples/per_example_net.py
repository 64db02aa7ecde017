"""A network as many are written by hand: one example at a time, kernels as (units, inputs), biases as columns.

It decays its weights by `W * (1 - lambda * rate)` and adds `lambda / 2 * ||W||**2` to its loss. With lambda = 0 it
trains like Keras; with lambda > 0 it does not:

    parity diff reports/l2-digits/experiment.toml --candidate examples/per_example_net.py:PerExampleNet
"""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


class PerExampleNet:
    def start(self, experiment, weights):
        self.names = [layer.name for layer in experiment.layers]
        self.W = [weights[f"{name}/kernel"].T.copy() for name in self.names]
        self.b = [weights[f"{name}/bias"].reshape(-1, 1).copy() for name in self.names]
        self.rate = experiment.optimizer.learning_rate
        regularizer = experiment.layers[0].kernel_regularizer
        self.lam = regularizer.l2 if regularizer else 0.0

    def step(self, x, y):
        loss = self.lam / 2 * sum((W**2).sum() for W in self.W)
        dW, db = [np.zeros_like(W) for W in self.W], [np.zeros_like(b) for b in self.b]
        for example, target in zip(x, y, strict=True):
            outputs = [example.reshape(-1, 1)]
            for W, b in zip(self.W, self.b, strict=True):
                outputs.append(sigmoid(W @ outputs[-1] + b))
            error = outputs[-1] - target.reshape(-1, 1)
            loss += (error**2).mean() / len(x)
            delta = 2 * error / error.size * outputs[-1] * (1 - outputs[-1])
            for layer in reversed(range(len(self.W))):
                dW[layer] += delta @ outputs[layer].T
                db[layer] += delta
                delta = self.W[layer].T @ delta * outputs[layer] * (1 - outputs[layer])
        for layer in range(len(self.W)):
            self.W[layer] = self.W[layer] * (1 - self.lam * self.rate) - self.rate * dW[layer] / len(x)
            self.b[layer] = self.b[layer] - self.rate * db[layer] / len(x)
        return {"loss": loss}

    def weights(self):
        named = {}
        for name, W, b in zip(self.names, self.W, self.b, strict=True):
            named |= {f"{name}/kernel": W.T, f"{name}/bias": b.ravel()}
        return named
