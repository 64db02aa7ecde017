"""A small network in NumPy, to be held against Keras:

    parity diff experiment.toml --candidate mynet.py:MyNet

It works, but one line of it is not what Keras does; the first run says which. Then put your own network in its place:
all that is needed are the three methods start, step and weights.
"""

import numpy as np


def relu(z):
    return np.maximum(z, 0)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def l2(lam, W):
    """What the penalty adds to the loss, and to the gradient of W."""
    return lam / 2 * np.sum(W**2), lam * W


class MyNet:
    def start(self, experiment, weights):
        """Called once, before the first step, with what both networks start from.

        experiment is what experiment.toml says; weights are named and shaped as in Keras, kernels (inputs, units).
        """
        self.W1, self.b1 = weights["dense/kernel"].copy(), weights["dense/bias"].copy()
        self.W2, self.b2 = weights["dense_1/kernel"].copy(), weights["dense_1/bias"].copy()
        self.rate = experiment.optimizer.learning_rate
        # Keras keeps lambda in float32, also where everything else is float64.
        self.lam = np.float32(experiment.layers[0].kernel_regularizer.l2)

    def step(self, x, y):
        """One update on one batch: x is (batch, inputs), y is (batch, classes)."""
        # Forward.
        z1 = x @ self.W1 + self.b1
        a1 = relu(z1)
        p = softmax(a1 @ self.W2 + self.b2)
        # Loss: the mean over the batch of the cross-entropy, and what the penalty adds to it.
        penalty, penalty_dW1 = l2(self.lam, self.W1)
        loss = -np.mean(np.sum(y * np.log(p), axis=1)) + penalty
        # Backward: the gradient of the loss at each place, from the last to the first.
        dz2 = (p - y) / len(x)
        dW2, db2 = a1.T @ dz2, dz2.sum(axis=0)
        dz1 = dz2 @ self.W2.T * (z1 > 0)
        dW1, db1 = x.T @ dz1 + penalty_dW1, dz1.sum(axis=0)
        # Update: plain gradient descent.
        self.W1 -= self.rate * dW1
        self.b1 -= self.rate * db1
        self.W2 -= self.rate * dW2
        self.b2 -= self.rate * db2
        # The loss alone would do. The more is told, the nearer the answer is to the line that makes the difference.
        gradient = {"dense/kernel": dW1, "dense/bias": db1, "dense_1/kernel": dW2, "dense_1/bias": db2}
        return {"loss": loss, "output": p, "gradient": gradient}

    def weights(self):
        """The weights after the step, named and shaped as they were given to start."""
        return {"dense/kernel": self.W1, "dense/bias": self.b1, "dense_1/kernel": self.W2, "dense_1/bias": self.b2}
