"""How fast the NumPy network trains: steps a second of plain training, nothing recorded, beside other libraries.

The same networks, batches, loss and plain SGD for all, in float32, each library with its default settings and as many
threads as it likes: `Network.train_step` of scratch_net; `model.fit` of Keras on TensorFlow, imported here without this
project's settings (so oneDNN and all threads are on); JAX with one jitted step that donates its weights; PyTorch eager,
with --compile also under `torch.compile`. What is not installed is left out and said so. `numpy` is no library: the
calls of one step written in a row, for one network, into memory that is there. It tells what of a step is NumPy's.

Every library trains for about --seconds in each of --repeats turns, in turn with the others; the table gives the
median of the turns. Bar: fastest on the two small networks, within 10 % of the fastest on the two large ones.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

NETWORKS = {
    "784-30-10, batch 32": ((784, 30, 10), 32),
    "784-16-16-10, batch 32": ((784, 16, 16, 10), 32),
    "784-512-512-10, batch 128": ((784, 512, 512, 10), 128),
    "1024-2048-2048-10, batch 256": ((1024, 2048, 2048, 10), 256),
}
BATCHES = 16  # different batches, trained on in turn
RATE = 0.01

Trainer = Callable[[int], Any]
"""Trains for so many steps, and returns when they are done."""


def data(sizes: tuple[int, ...], batch: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """x (batches, batch, inputs), one-hot y, and the kernels all start from."""
    random = np.random.default_rng(0)
    x = random.standard_normal((BATCHES, batch, sizes[0])).astype(np.float32)
    y = np.eye(sizes[-1], dtype=np.float32)[random.integers(sizes[-1], size=(BATCHES, batch))]
    kernels = [
        (np.sqrt(6 / (a + b)) * random.uniform(-1, 1, (a, b))).astype(np.float32) for a, b in itertools.pairwise(sizes)
    ]
    return x, y, kernels


def scratch(x: np.ndarray, y: np.ndarray, kernels: list[np.ndarray], hidden: str) -> Trainer:
    from scratch_net.activations import ACTIVATIONS
    from scratch_net.layers import Dense
    from scratch_net.losses import CategoricalCrossentropy
    from scratch_net.network import Network
    from scratch_net.optimizers import SGD

    activations = [hidden] * (len(kernels) - 1) + ["softmax"]
    layers = [
        Dense(f"dense_{n}", w.copy(), np.zeros(w.shape[1], w.dtype), ACTIVATIONS[name](), None, None, None)
        for n, (w, name) in enumerate(zip(kernels, activations, strict=True))
    ]
    network = Network(layers, CategoricalCrossentropy(), SGD(RATE))

    def train(steps: int) -> Any:
        for step in range(steps):
            loss = network.train_step(x[step % BATCHES], y[step % BATCHES])
        return float(loss.whole)

    return train


def bare(x: np.ndarray, y: np.ndarray, kernels: list[np.ndarray], hidden: str) -> Trainer:
    """NumPy's calls in a row, into memory that is there, for this one network: what they take without anything else."""
    whole = np.concatenate([part for kernel in kernels for part in (kernel.ravel(), np.zeros(kernel.shape[1], "f4"))])
    gradient, weights, gradients, begin = np.zeros_like(whole), [], [], 0
    for kernel in kernels:
        middle, end = begin + kernel.size, begin + kernel.size + kernel.shape[1]
        for parts, of in ((weights, whole), (gradients, gradient)):
            parts.append((of[begin:middle].reshape(kernel.shape), of[middle:end]))
        begin = end
    batch, last = x.shape[1], len(kernels) - 1
    zs = [np.empty((batch, kernel.shape[1]), whole.dtype) for kernel in kernels]
    das = [np.empty((batch, kernel.shape[0]), whole.dtype) for kernel in kernels]
    ones, classes = np.ones(batch, whole.dtype), np.ones(y.shape[2], whole.dtype)
    one, count, rate = (np.array(of, whole.dtype) for of in (1, batch, RATE))
    dot, multiply = np.dot, np.multiply
    change, e = np.empty_like(whole), np.empty_like(zs[last])

    def step(a, y):
        outputs = [a]
        for (kernel, bias), z in zip(weights, zs, strict=True):
            dot(a, kernel, z)
            np.add(z, bias, z)
            if z is not zs[last]:
                if hidden == "relu":
                    np.maximum(z, 0, out=z)
                else:
                    np.negative(z, z)
                    np.exp(z, z)
                    np.add(z, one, z)
                    np.reciprocal(z, z)
                outputs.append(a := z)
        z -= np.maximum.reduce(z, axis=-1, keepdims=True)
        np.exp(z, e)
        total = dot(e, classes)[:, None]  # sums as products: in half of the time
        loss = np.vdot(y, np.subtract(np.log(total), z, z)) / batch
        np.divide(e, total, e)
        dz = multiply(e, dot(y, classes)[:, None], e)
        dz -= y
        dz /= count
        for number in range(last, -1, -1):
            a, (kernel, _), (dkernel, dbias) = outputs[number], weights[number], gradients[number]
            dot(a.T, dz, dkernel)
            dot(ones, dz, dbias)
            if number:
                da = dot(dz, kernel.T, das[number])
                slope = a > 0 if hidden == "relu" else np.subtract(one, a)
                if hidden != "relu":
                    slope *= a
                dz = multiply(slope, da, da)
        multiply(gradient, rate, change)
        np.subtract(whole, change, whole)
        return loss

    def train(steps: int) -> Any:
        for index in range(steps):
            loss = step(x[index % BATCHES], y[index % BATCHES])
        return float(loss)

    return train


def keras(x: np.ndarray, y: np.ndarray, kernels: list[np.ndarray], hidden: str) -> Trainer:
    import tensorflow as tf

    layers = tf.keras.layers
    model = tf.keras.Sequential([tf.keras.Input((x.shape[2],))])
    for number, kernel in enumerate(kernels):
        last = number == len(kernels) - 1
        model.add(layers.Dense(kernel.shape[1], activation="softmax" if last else hidden))
    for layer, kernel in zip(model.layers, kernels, strict=True):
        layer.set_weights([kernel, np.zeros(kernel.shape[1], np.float32)])
    model.compile(tf.keras.optimizers.SGD(RATE), "categorical_crossentropy")
    rows, targets = x.reshape(-1, x.shape[2]), y.reshape(-1, y.shape[2])

    def train(steps: int) -> Any:
        epochs = max(1, round(steps / BATCHES))
        history = model.fit(rows, targets, batch_size=x.shape[1], epochs=epochs, shuffle=False, verbose=0)
        return history.history["loss"][-1]

    return train


def jax(x: np.ndarray, y: np.ndarray, kernels: list[np.ndarray], hidden: str) -> Trainer:
    import jax
    from jax import numpy as jnp

    activate = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}[hidden]

    def loss_of(weights: Any, x: Any, y: Any) -> Any:
        for number, (kernel, bias) in enumerate(weights):
            x = x @ kernel + bias
            if number < len(weights) - 1:
                x = activate(x)
        return -(y * jax.nn.log_softmax(x)).sum(axis=-1).mean()

    def step(weights: Any, x: Any, y: Any) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(weights, x, y)
        return jax.tree.map(lambda w, g: w - RATE * g, weights, gradient), loss

    compiled = jax.jit(step, donate_argnums=0)
    state = [[(jnp.array(kernel), jnp.zeros(kernel.shape[1])) for kernel in kernels]]

    def train(steps: int) -> Any:
        for index in range(steps):
            state[0], loss = compiled(state[0], x[index % BATCHES], y[index % BATCHES])
        return float(loss)

    return train


def torch(x: np.ndarray, y: np.ndarray, kernels: list[np.ndarray], hidden: str, *, compiled: bool = False) -> Trainer:
    import torch
    from torch import nn

    modules: list[Any] = []
    for kernel in kernels:
        linear = nn.Linear(*kernel.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(kernel.T.copy()))
            linear.bias.zero_()
        modules += [linear, nn.ReLU() if hidden == "relu" else nn.Sigmoid()]
    model = nn.Sequential(*modules[:-1])
    cross_entropy = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), RATE)

    def loss_of(x, y):
        return cross_entropy(model(x), y)

    if compiled:
        loss_of = torch.compile(loss_of)
    xs, ys = torch.from_numpy(x), torch.from_numpy(y)

    def train(steps: int) -> Any:
        for step in range(steps):
            loss = loss_of(xs[step % BATCHES], ys[step % BATCHES])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    return train


def torch_compiled(x: np.ndarray, y: np.ndarray, kernels: list[np.ndarray], hidden: str) -> Trainer:
    return torch(x, y, kernels, hidden, compiled=True)


# PyTorch before TensorFlow: its triton ends a process that has TensorFlow's LLVM already.
LIBRARIES = {
    "scratch": scratch,
    "numpy": bare,
    "torch": torch,
    "torch_compiled": torch_compiled,
    "jax": jax,
    "keras": keras,
}
IMPORTS = {"scratch": "scratch_net", "numpy": "numpy", "keras": "tensorflow", "torch_compiled": "torch"}


def blas() -> str:
    """NumPy's BLAS with the kernels that it chose: four fifths of a large network's step are theirs.

    OpenBLAS goes by the processor that it finds, or by OPENBLAS_CORETYPE.
    """
    from threadpoolctl import threadpool_info

    return ", ".join(
        f"{library['internal_api']} {library['version']} with {library.get('architecture', 'unknown')} kernels"
        for library in threadpool_info()
        if library["user_api"] == "blas"
    )


def steps_per_second(train: Trainer, seconds: float) -> float:
    """Warm up, find out how many steps take so long, and time them."""
    began = time.perf_counter()
    train(BATCHES)
    steps = BATCHES * max(1, round(seconds / (time.perf_counter() - began)))
    began = time.perf_counter()
    train(steps)
    return steps / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.7, help="of training in each turn")
    parser.add_argument("--hidden", choices=["sigmoid", "relu"], default="sigmoid")
    parser.add_argument("--compile", action="store_true", help="also PyTorch under torch.compile")
    arguments = parser.parse_args()

    names = [name for name in LIBRARIES if name != "torch_compiled" or arguments.compile]
    for name in list(names):
        if importlib.util.find_spec(IMPORTS.get(name, name)) is None:
            print(f"{name} is not installed: left out")
            names.remove(name)
    print(
        f"{arguments.hidden} layers, softmax and cross-entropy, SGD, float32; steps a second, medians of "
        f"{arguments.repeats} turns; everybody's default threads and settings"
    )
    print(f"NumPy {np.__version__}, {blas()}")
    print(f"{'':30}" + "".join(f"{name:>16}" for name in names) + f"{'scratch / fastest other':>26}")
    for title, (sizes, batch) in NETWORKS.items():
        trainers = {name: LIBRARIES[name](*data(sizes, batch), arguments.hidden) for name in names}
        losses = {name: train(BATCHES) for name, train in trainers.items()}
        exact = [loss for name, loss in losses.items() if name != "keras"]  # fit tells the mean of the epoch
        if max(exact) - min(exact) > 1e-3 * max(exact):
            print(f"not the same training: {losses}")
        rates: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(arguments.repeats):
            for name, train in trainers.items():
                rates[name].append(steps_per_second(train, arguments.seconds))
        found = {name: median(values) for name, values in rates.items()}
        others = [rate for name, rate in found.items() if name not in {"scratch", "numpy"}]
        ratio = f"{found['scratch'] / max(others):.2f}" if others else "-"
        print(f"{title:30}" + "".join(f"{found[name]:16.1f}" for name in names) + f"{ratio:>26}")
        ranges = "".join(f"{f'{min(rates[name]):.0f} to {max(rates[name]):.0f}':>16}" for name in names)
        print(f"{'  lowest to highest turn':30}{ranges}{f'load {os.getloadavg()[0]:.1f}':>26}", flush=True)


if __name__ == "__main__":
    main()
