"""Rounding errors on purpose: every operation is off by a random error of the size that rounding can give it.

A network and the same network with such errors differ as two correct implementations in a precision of that unit
roundoff do. With r = size and xi uniform in [-1, 1], a number for each element:

    sums of n terms      + r xi sqrt(m) sum |terms|   how the errors of n additions add up (Higham and Mary 2019): m = n
    all other results    * (1 + ULPS r xi)            elementary functions err by some units in the last place

A number added to sums of one binade is rounded alike each time, so errors of equal terms do not cancel: they add up to
`n_j` times one of them where n_j terms are equal, and `m = sum_j n_j**2`. With zero weights every example has the same
outputs, and so it is. `sum_j n_j**2 = n**2 P`, P how often two terms are equal, is estimated from n pairs of examples.
It is left out of batches below `MANY`, where n is at most `sqrt(MANY) sqrt(n)`, and where nothing is shared (below).

A loss taken from logits errs by units of 1 as well, however small it is: `log(sum exp(z)) - z`, or `-log(p)` with a p
near 1. Its gradient is a difference of probabilities and targets: it errs by units of what was subtracted.

How large errors are need not be worked out for each of several networks that take the same steps: they may share it
(`sharing.Products`); each draws errors of its own.
"""

from __future__ import annotations

import numpy as np

from scratch_net.activations import Sigmoid, softmax
from scratch_net.conventions.sharing import MANY

ULPS = 4.0
EQUAL = 2.0**-18
"""Numbers that are equal but for such errors differ by less, relative to themselves."""
NEAR = 2.0**-6
"""So near is near enough for how large an error is, where it is worked out once for several networks."""


def _nearly(one, other):
    """Whether each number is the other's to within a share of `NEAR`: then so is the size of what is summed of them."""
    return bool((np.abs(one - other) <= NEAR * np.abs(one)).all())


class Rounding:
    """Where the errors come from: a seeded generator and a size, the unit roundoff that is imitated."""

    def __init__(self, seed, products=None):
        self.random, self.size, self.products = np.random.default_rng(seed), None, products

    def relative(self, array):
        """The array, every number off by some units in the last place."""
        array = np.asarray(array)
        factor = self._error(array)
        factor *= ULPS
        factor += 1
        factor = factor.astype(array.dtype, copy=False)
        factor *= array
        return factor[()]

    def summed(self, array, terms, n):
        """The array, each number of it a sum of n terms whose absolute values sum up to `terms`."""
        error = self._error(array)
        error *= np.sqrt(n)
        error *= terms
        error = error.astype(array.dtype, copy=False)
        error += array
        return error[()]

    def shared(self, make, same, x, *others):
        """`make(x, *others)`, or what it was for another network."""
        if self.products is None:
            return make(x, *others)
        return self.products.of(make.__name__, lambda: make(x, *others), same, x, *others)

    def repeated(self, dz, x):
        """sum_j n_j**2 of the terms `dz` and of the terms `x_i dz_j`, (units,) and (inputs, units); 0 if unknown."""
        n = len(dz)
        if self.products is None or n < MANY:
            return 0.0, 0.0
        equal_dz = _equal(dz)
        of_bias = n * equal_dz.sum(axis=0)
        if (of_bias <= n).all():  # no more than n terms give without it
            return of_bias, 0.0
        return of_bias, n * (self.shared(_equal, np.array_equal, x).T @ equal_dz)

    def _error(self, array):
        error = np.asarray(self.random.uniform(-1, 1, array.shape))  # new, to be written into: memory costs time here
        error *= np.finfo(array.dtype).eps / 2 if self.size is None else self.size
        return error


def _equal(terms):
    """1 where an example has the same number, not 0, as another one, drawn for each."""
    other = np.random.default_rng(0).permutation(len(terms))
    equal = np.empty(terms.shape, np.float32)  # sums of these are whole numbers
    for begin in range(0, len(terms), MANY):  # as many as stay in the processor's cache
        rows = slice(begin, begin + MANY)
        size = np.abs(terms[rows])
        equal[rows] = (np.abs(terms[rows] - terms[other[rows]]) <= EQUAL * size) & (size > 0)
    return equal


def _set_seed(network, seed):
    rounding = network.rounding = Rounding(int(seed), network.training.products)
    network.stacks = False
    for layer in network.layers:
        _round_layer(layer, rounding)
    _round_network(network, rounding)


def _set_size(network, size):
    network.rounding.size = size


def _round_layer(layer, rounding):
    affine, forward, backward = layer.affine, layer.activation.forward, layer.backward_activation
    backward_weights, backward_input = layer.backward_weights, layer.backward_input

    def affine_terms(x, kernel, *bias):
        return sum(map(np.abs, bias), np.abs(x) @ np.abs(kernel))

    def rounded_affine(x):
        terms = rounding.shared(affine_terms, np.array_equal, x, *layer.weights.values())
        return rounding.summed(affine(x), terms, x.shape[-1])

    def gradient_terms(x, dz):
        """For each weight the sum of absolute terms, and m."""
        of_bias, of_product = rounding.repeated(dz, x)
        of_kernel = np.abs(x).T @ np.abs(dz), np.maximum(of_product, len(x))
        return {layer.kernel_name: of_kernel, layer.bias_name: (np.abs(dz).sum(axis=0), np.maximum(of_bias, len(x)))}

    def rounded_weights(x, dz):
        terms = rounding.shared(gradient_terms, _nearly, x, dz)
        return {name: rounding.summed(g, *terms[name]) for name, g in backward_weights(x, dz).items()}

    def rounded_input(dz):
        return rounding.summed(backward_input(dz), np.abs(dz) @ np.abs(layer.kernel).T, dz.shape[-1])

    layer.affine = rounded_affine
    layer.backward_weights = rounded_weights
    layer.backward_input = rounded_input
    layer.backward_activation = lambda da, z, a: rounding.relative(backward(da, z, a))
    layer.activation.forward = lambda z: rounding.relative(forward(z))


def _round_network(network, rounding):
    data_loss, loss_gradient = network.data_loss, network.loss_gradient
    penalties, penalty_gradients, update = network.penalties, network.penalty_gradients, network.update

    def rounded_loss_gradient(y, z, output):
        da, dz = loss_gradient(y, z, output)
        if network.from_logits:
            logits = z if network.skips_activation else output
            binary = type(network.loss).__name__ == "BinaryCrossentropy"
            p = Sigmoid().forward(logits) if binary else softmax(logits)
            lost = rounding.relative(p) - p
            da, dz = (None if g is None else g + lost / (g.size if binary else len(g)) for g in (da, dz))
        return tuple(None if g is None else rounding.relative(g) for g in (da, dz))

    def rounded_loss(y, z, output):  # a sum over examples and outputs, whose terms have one sign
        loss = data_loss(y, z, output)
        # of logits it is a difference of larger numbers, or the logarithm of what is near 1
        given = rounding.summed(loss, ULPS * (np.abs(loss) + 1), 1) if network.from_logits else rounding.relative(loss)
        return rounding.summed(given, np.abs(loss), output.size)

    network.data_loss = rounded_loss
    if (complement := getattr(network, "complement", None)) is not None:
        network.complement = lambda p: rounding.relative(complement(p))
    network.loss_gradient = rounded_loss_gradient

    def rounded_penalties():  # sums of squares or of absolute values
        sizes = {name: w.size for name, w in network.weights.items()}
        sizes |= {f"{layer.name}/output": layer.a.size for layer in network.layers}
        return {name: rounding.summed(rounding.relative(p), np.abs(p), sizes[name]) for name, p in penalties().items()}

    network.penalties = rounded_penalties
    network.penalty_gradients = lambda: {name: rounding.relative(g) for name, g in penalty_gradients().items()}

    def rounded_update(gradients):
        gradients.whole = {name: rounding.relative(g) for name, g in gradients.whole.items()}
        update(gradients)
        for array in (network.weights | network.optimizer.slots).values():
            array[...] = rounding.relative(array)

    network.update = rounded_update


# code -> what a number does to a network; in this order.
NUMBERS = {"rounding.seed": _set_seed, "rounding.size": _set_size}
