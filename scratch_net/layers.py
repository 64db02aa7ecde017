"""The dense layer: `a = activation(x @ kernel + bias)`, and the gradients of the loss through it.

Shapes: x (batch, inputs), kernel (inputs, units), bias (units,), z and a (batch, units).
`dz` stands for dL/dz, the derivative of the loss by z, and so on; every gradient has the shape of what it belongs to.
Any axes before these are kept: a stack of steps, each with its own weights, is computed at once.
"""

from __future__ import annotations

import numpy as np

from scratch_net.constants import ones
from scratch_net.regularizers import penalty_of

SMALL = 1 << 14  # elements: writing so many zeros takes about as long as `dot` saves


def product(a, b, out=None):
    """`a @ b`; of two matrices by `dot`, which gives the same bits and begins in half of the time.

    Not into a large array: `dot` fills it with zeros before the product is written there.
    """
    return a.dot(b, out) if b.ndim == 2 and (out is None or out.size <= SMALL) else np.matmul(a, b, out=out)


class Dense:
    """One layer with its weights, its penalties, and what the last forward pass left for the backward pass.

    Gradients, which every step needs again, are kept and written into: for large layers that saves a third of the time.
    """

    def __init__(self, name, kernel, bias, activation, kernel_regularizer, bias_regularizer, activity_regularizer):
        self.name = name
        self.kernel_name, self.bias_name = f"{name}/kernel", f"{name}/bias"
        self.kernel, self.bias = kernel, bias  # bias is None without one
        self.activation = activation
        self.kernel_regularizer, self.bias_regularizer = kernel_regularizer, bias_regularizer
        self.activity_regularizer = activity_regularizer
        self.x = self.z = self.a = None  # of the last forward pass
        self.da = self.dz = None  # of the last backward pass
        self.buffers = {}

    @property
    def weights(self):
        """Name -> array, the very arrays the layer computes with, in Keras' order."""
        if self.bias is None:
            return {self.kernel_name: self.kernel}
        return {self.kernel_name: self.kernel, self.bias_name: self.bias}

    def place(self, weights, gradients):
        """Compute with these arrays as weights, and leave gradients in those."""
        self.kernel, self.buffers["kernel gradient"] = weights[self.kernel_name], gradients[self.kernel_name]
        if self.bias is not None:
            self.bias, self.buffers["bias gradient"] = weights[self.bias_name], gradients[self.bias_name]

    def ndim(self, weight):
        """Axes of a weight: a kernel has two, a bias one."""
        return 2 if weight == self.kernel_name else 1

    @property
    def regularizers(self):
        """Name of a weight -> its regularizer, where it has one."""
        named = {}
        if self.kernel_regularizer is not None:
            named[self.kernel_name] = self.kernel_regularizer
        if self.bias_regularizer is not None and self.bias is not None:
            named[self.bias_name] = self.bias_regularizer
        return named

    def forward(self, x):
        self.x = x
        self.z = self.affine(x)
        self.z.setflags(write=False)  # what is worked out of it from here on goes on to hold
        self.a = self.activation.forward(self.z)
        return self.a

    def affine(self, x):
        """`z = x @ kernel + bias`."""
        z = product(x, self.kernel)
        if self.bias is not None:
            z += self.bias if self.bias.ndim == 1 else self.bias[..., None, :]
        return z

    def activity_penalty(self, a):
        """The regularizer of the output, divided by the batch size (Keras since 3.13; not before)."""
        return penalty_of(self.activity_regularizer, a, 2) / a.shape[-2]

    def activity_gradient(self, a):
        return self.activity_regularizer.gradient(a) / a.shape[-2]

    def penalized(self, da):
        """dL/da with what the output's penalty adds; da is None where nothing else depends on the output."""
        from_penalty = self.activity_gradient(self.a)
        return from_penalty if da is None else da + from_penalty

    def backward_activation(self, da, z, a):
        """`dz = da * activation'(z)`."""
        return self.activation.backward(da, z, a)

    def backward_weights(self, x, dz):
        """`dL/dkernel = x.T @ dz` and `dL/dbias = sum of dz over the batch`, as `ones @ dz`: BLAS adds up faster."""
        gradients = {self.kernel_name: product(x.mT, dz, self._buffer("kernel gradient", self.kernel.shape))}
        if self.bias is not None:
            bias_gradient = self._buffer("bias gradient", self.bias.shape)
            gradients[self.bias_name] = product(ones(dz.shape[-2], dz.dtype), dz, bias_gradient)
        return gradients

    def backward_input(self, dz):
        """`dx = dz @ kernel.T`: what the layer below receives as its da."""
        return product(dz, self.kernel.mT, self._buffer("dx", (*dz.shape[:-1], self.kernel.shape[-2])))

    def _buffer(self, name, shape):
        if (buffer := self.buffers.get(name)) is None or buffer.shape != shape:
            buffer = self.buffers[name] = np.empty(shape, self.kernel.dtype)
        return buffer
