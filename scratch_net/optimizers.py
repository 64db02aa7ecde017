"""Optimizers: from gradients to new weights, in place; `slots` are what an optimizer remembers from step to step.

w is a weight, g its gradient, both of the same shape; t counts the updates from 1. A stack of steps, `iterations` then
an array, is taken at once. The operations stand in the order in which Keras takes them, so that the same gradients and
slots give the same bits. In float64 Keras still passes some constants through float32 (`keras_constant`); the comments
say where.

Source: keras/src/optimizers/sgd.py, adam.py, rmsprop.py.
"""

from __future__ import annotations

import numpy as np

from scratch_net.constants import keras_constant, normal

BLOCK = 1 << 16  # elements: with what is worked out on the way, a step on so many lies in a level-2 cache


class Optimizer:
    """What all optimizers share: the step counter, a slot array for each weight, and the loop over the weights."""

    slot_names: tuple[str, ...] = ()

    constant = staticmethod(keras_constant)

    def __init__(self, learning_rate):
        self.learning_rate = learning_rate
        self.iterations = 0
        self.slots = {}

    def start(self, weights, together=None):
        """Zero slots for every weight: `dense/kernel/momentum`, ...; side by side where the weights are."""
        self.iterations, self.slots = 0, {}
        whole_slots = []
        for slot in self.slot_names:
            if together is None:
                parts = {name: np.zeros_like(w) for name, w in weights.items()}
            else:
                whole, parts = together.room()
                whole_slots.append(whole)
            self.slots |= {f"{name}/{slot}": part for name, part in parts.items()}
        self._together = together, whole_slots, self.slots

    def update(self, weights, gradients):
        """One step on every weight, in place: on all at once, where they and what belongs to them are side by side."""
        together, whole_slots, their_slots = self._together
        if together is not None and self.slots is their_slots and together.are(weights, gradients):
            self._take(together.whole, together.gradient, whole_slots)
        else:
            for name, w in weights.items():
                self._take(w, gradients[name], [self.slots[f"{name}/{slot}"] for slot in self.slot_names])
        self.iterations = self.iterations + 1  # may be an array that somebody else keeps

    def _take(self, w, g, slots):
        rate = np.array(self.learning_rate, w.dtype)  # no scalar, for which NumPy's operations take longer
        step = self.step if w.size <= BLOCK else self.step_by_parts
        step(w, g, rate, *slots)

    def step_by_parts(self, w, g, rate, *slots):
        """Some rows (of a stack: some steps) at a time. A step takes each number by itself: no bit is changed."""
        rows, taken = max(1, BLOCK * len(w) // w.size), self.iterations
        for first in range(0, len(w), rows):
            part = slice(first, first + rows)
            self.iterations = taken[part] if np.ndim(taken) else taken
            self.step(w[part], g[part], rate, *(slot[part] for slot in slots))
        self.iterations = taken

    def step(self, w, g, rate, *slots):
        """One step on w, each number by itself: w is a weight, a part of one, or all of them side by side."""
        raise NotImplementedError

    def of_step(self, function, w):
        """`function(t)` of the step that is taken; in a stack of steps a number for each, shaped to multiply w."""
        if np.ndim(self.iterations) == 0:
            return function(self.iterations + 1)
        return np.array([function(t + 1) for t in self.iterations.tolist()]).reshape(-1, *(1,) * (w.ndim - 1))


class SGD(Optimizer):
    """Stochastic gradient descent.

    plain:     w <- w - rate g
    momentum:  m <- mu m - rate g;  w <- w + m
    nesterov:  m <- mu m - rate g;  w <- w + mu m - rate g
    """

    def __init__(self, learning_rate, momentum=0.0, nesterov=False):
        super().__init__(learning_rate)
        self.momentum, self.nesterov = momentum, nesterov

    @property
    def slot_names(self):
        return ("momentum",) if self.momentum else ()

    def step(self, w, g, rate, m=None):
        if m is None:
            w -= g * rate
            return
        mu = self.constant(self.momentum, w.dtype)  # float32 in Keras
        g = g * rate
        m *= mu
        m -= g
        w += m * mu - g if self.nesterov else m


class Adam(Optimizer):
    """Kingma and Ba 2015, in the form of the paper's section 2 ("epsilon hat").

    m <- m + (g - m) (1 - b1)
    v <- v + (g**2 - v) (1 - b2)
    w <- w - alpha m / (sqrt(v) + eps),   alpha = rate sqrt(1 - b2**t) / (1 - b1**t)

    With amsgrad sqrt(v) becomes the square root of the largest v so far.
    """

    def __init__(self, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False):
        super().__init__(learning_rate)
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad
        self.slot_names = ("momentum", "velocity", "velocity_hat") if amsgrad else ("momentum", "velocity")

    def step(self, w, g, rate, m, v, v_hat=None):
        alpha = self.of_step(lambda t: self.alpha(w.dtype.type(t), rate), w)
        m += (g - m) * (1 - self.beta_1)
        v += (g * g - v) * (1 - self.beta_2)
        if v_hat is not None:
            np.maximum(v_hat, v, out=v_hat)
            v = v_hat
        w -= (m * alpha) / self.denominator(v)

    def alpha(self, t, rate):
        """The rate, corrected for moments that began at zero."""
        of_m, of_v = self.corrections(t)
        return rate * np.sqrt(of_v) / of_m

    def corrections(self, t):
        """`1 - beta**t` for each moment: how much of a mean it is after t steps."""
        one = t.dtype.type(1)
        b1 = self.constant(self.beta_1, t.dtype)  # float32 here only
        b2 = self.constant(self.beta_2, t.dtype)
        return one - b1**t, one - b2**t

    def denominator(self, v):
        return np.sqrt(v) + normal(self.epsilon, v.dtype)


class RMSprop(Optimizer):
    """Hinton's lecture 6e, with epsilon inside the root.

    v <- rho v + (1 - rho) g**2
    w <- w - rate g / sqrt(v + eps)
    with momentum: m <- mu m + rate g / sqrt(v + eps);  w <- w - m
    centered: v is replaced by v - a**2 under the root, with a <- rho a + (1 - rho) g
    """

    def __init__(self, learning_rate, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
        super().__init__(learning_rate)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered

    @property
    def slot_names(self):
        momentum = ("momentum",) if self.momentum > 0 else ()
        return ("velocity", *momentum, *(("average_gradient",) if self.centered else ()))

    def step(self, w, g, rate, v, *others):
        others = list(others)
        m = others.pop(0) if self.momentum > 0 else None
        average = others.pop(0) if self.centered else None
        v[...] = self.rho * v + (1 - self.rho) * (g * g)
        variance = v
        if average is not None:
            average[...] = self.rho * average + (1 - self.rho) * g
            variance = v - average * average
        increment = rate * g / self.denominator(variance)
        if m is not None:
            m[...] = self.momentum * m + increment
            increment = m
        w -= increment

    def denominator(self, v):
        return np.sqrt(v + normal(self.epsilon, v.dtype))


OPTIMIZERS = {optimizer.__name__: optimizer for optimizer in (SGD, Adam, RMSprop)}
