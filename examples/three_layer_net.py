"""The network of per_example_net.py with one layer more, and its mistake: deltas are stored one index off.

The loop of two weight layers, made longer: each delta is computed from the one above, and in the end the first layer is
given the delta of the second. Layers of unequal width would raise; these two are as wide as each other:

    parity diff examples/three_layers.toml --candidate examples/three_layer_net.py:ThreeLayerNet
    parity diff examples/three_layers.toml --candidate examples/three_layer_net.py:Corrected
"""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


class ThreeLayerNet:
    def start(self, experiment, weights):
        self.names = [layer.name for layer in experiment.layers]
        self.W = [weights[f"{name}/kernel"].T.copy() for name in self.names]
        self.b = [weights[f"{name}/bias"].reshape(-1, 1).copy() for name in self.names]
        self.rate = experiment.optimizer.learning_rate

    def step(self, x, y):
        loss, dW, db = 0.0, [np.zeros_like(W) for W in self.W], [np.zeros_like(b) for b in self.b]
        for example, target in zip(x, y, strict=True):
            outputs = [example.reshape(-1, 1)]
            for W, b in zip(self.W, self.b, strict=True):
                outputs.append(sigmoid(W @ outputs[-1] + b))
            error = outputs[-1] - target.reshape(-1, 1)
            loss += (error**2).mean() / len(x)
            deltas = self.deltas(outputs, 2 * error / error.size)
            for layer in range(3):
                dW[layer] += deltas[layer] @ outputs[layer].T / len(x)
                db[layer] += deltas[layer] / len(x)
        for layer in range(3):
            self.W[layer] -= self.rate * dW[layer]
            self.b[layer] -= self.rate * db[layer]
        return {"loss": loss}

    def deltas(self, outputs, error):
        """Of each layer, by its index."""
        deltas = [None, None, error * outputs[3] * (1 - outputs[3])]
        delta = deltas[2]
        for layer in (2, 1):
            below = self.W[layer].T @ delta * outputs[layer] * (1 - outputs[layer])
            deltas[layer - 1] = below if layer == 2 else delta  # the mistake: this delta is the layer's above
            delta = below
        return deltas

    def weights(self):
        named = {}
        for name, W, b in zip(self.names, self.W, self.b, strict=True):
            named |= {f"{name}/kernel": W.T, f"{name}/bias": b.ravel()}
        return named


class Corrected(ThreeLayerNet):
    def deltas(self, outputs, error):
        """Of each layer, by its index."""
        deltas = [None, None, error * outputs[3] * (1 - outputs[3])]
        for layer in (2, 1):
            deltas[layer - 1] = self.W[layer].T @ deltas[layer] * outputs[layer] * (1 - outputs[layer])
        return deltas
