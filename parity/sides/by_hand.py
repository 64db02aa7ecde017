"""Hand-written networks put in front of the harness in a few lines: where they keep their weights is declared.

    class Mine(Lists):
        kernel_layout, bias_layout = "units, inputs", "column"

        def make(self, experiment):                    # a network of yours, with lists `W` and `b`
            return Network([64, 30, 10])

        def step(self, x, y):
            return self.network.train_batch(x, y)      # one update; returns its loss

`Lists`, `Numbered` and `Flat` say where weights are kept, `Epochs` calls a `train(x, y, epochs)`, and `pairs` gives a
loop over examples what it expects. A layout is what its owner says it is. It is never guessed from shapes, and one that
does not fit them is refused; of a square kernel that is declared wrongly the diagnosis tells (`forward.kernel`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from parity.config import Experiment
from parity.errors import SideError, UsageError, nearest
from parity.protocol import Array

Shape = tuple[int, ...]
KERNELS: dict[str, Callable[[Shape], Shape]] = {
    "inputs, units": lambda shape: shape,
    "units, inputs": lambda shape: shape[::-1],
}
BIASES: dict[str, Callable[[Shape], Shape]] = {
    "vector": lambda shape: shape,
    "column": lambda shape: (*shape, 1),
    "row": lambda shape: (1, *shape),
}
Arrays = list[Array | None]


class _Held:
    """Carries weights from Keras' names and layout to where a network keeps them, and back."""

    kernel_layout: str = "inputs, units"
    bias_layout: str = "vector"
    network: Any

    def make(self, experiment: Experiment) -> Any:  # noqa: ARG002  # who overrides it needs it
        """The network that keeps the weights; by default this object itself."""
        return self

    def start(self, experiment: Experiment, weights: Mapping[str, Array]) -> None:
        _known("kernel_layout", self.kernel_layout, KERNELS)
        _known("bias_layout", self.bias_layout, BIASES)
        self.experiment, self.names = experiment, list(weights)
        self._given = {name: array.copy() for name, array in weights.items()}
        self.network = self.make(experiment)
        self._refuse_misfits(self._kept(), "holds")
        self.restart()

    def restart(self) -> None:
        """Put the weights back that `start` was given."""
        self._put([self._laid_out(name, array) for name, array in self._given.items()])

    def weights(self) -> dict[str, Array]:
        kept = self._kept()
        self._refuse_misfits(kept, "now holds")
        if missing := [name for name in self.names if name not in kept]:
            msg = f"the network has no {', '.join(self._where(name) for name in missing)}"
            raise SideError(msg)
        return {name: self._from_layout(name, kept[name]) for name in self.names}

    def _laid_out(self, name: str, array: Array) -> Array:
        """As the network keeps it."""
        if array.ndim == 2 and self.kernel_layout == "units, inputs":
            return np.array(array.T, order="C")
        return np.array(array.reshape(self._shape(name)))

    def _from_layout(self, name: str, array: Array) -> Array:
        given = self._given[name]
        return array.T if given.ndim == 2 and self.kernel_layout == "units, inputs" else array.reshape(given.shape)

    def _shape(self, name: str) -> Shape:
        """What the declared layout makes of the shape of a weight."""
        shape = self._given[name].shape
        return KERNELS[self.kernel_layout](shape) if len(shape) == 2 else BIASES[self.bias_layout](shape)

    def _refuse_misfits(self, kept: Mapping[str, Array], holds: str) -> None:
        """A declared layout that cannot be right."""
        for name, array in kept.items():
            expected, shape = self._shape(name), np.shape(array)
            if shape == expected:
                continue
            given = self._given[name].shape
            which, layouts = ("kernel_layout", KERNELS) if len(given) == 2 else ("bias_layout", BIASES)
            fitting = [layout for layout, shaped in layouts.items() if shaped(given) == shape]
            hint = f"; {which} = {fitting[0]!r} would" if fitting else ""
            msg = (
                f"{self._where(name)} {holds} an array of shape {shape}, which {which} = {getattr(self, which)!r} of "
                f"{name} does not allow (it makes {expected}){hint}"
            )
            raise SideError(msg)

    def _put(self, arrays: Sequence[Array]) -> None:
        raise NotImplementedError

    def _kept(self) -> dict[str, Array]:
        """What the network holds now, by Keras' names; before it was given anything perhaps nothing."""
        raise NotImplementedError

    def _where(self, name: str) -> str:
        """How the network itself calls it."""
        raise NotImplementedError

    def _layer(self, name: str) -> int:
        return self.experiment.layer_names.index(name.partition("/")[0])


class Lists(_Held):
    """Kernels in one list, biases in another, an entry for each layer; a layer without bias has None."""

    held_in: tuple[str, str] = ("W", "b")
    """The attributes of the network that are these lists."""

    def _put(self, arrays: Sequence[Array]) -> None:
        kernels: Arrays = [None] * len(self.experiment.layers)
        biases: Arrays = list(kernels)
        for name, array in zip(self.names, arrays, strict=True):
            (kernels if name.endswith("/kernel") else biases)[self._layer(name)] = array
        for attribute, entries in zip(self.held_in, (kernels, biases), strict=True):
            setattr(self.network, attribute, entries)

    def _kept(self) -> dict[str, Array]:
        kept = {}
        for attribute, kind in zip(self.held_in, ("kernel", "bias"), strict=True):
            entries = getattr(self.network, attribute, None)
            if entries is None:
                continue
            if len(entries) != len(self.experiment.layers):
                msg = f"{attribute} has {len(entries)} entries; the experiment has {len(self.experiment.layers)} layers"
                raise SideError(msg)
            for layer, array in zip(self.experiment.layer_names, entries, strict=True):
                if f"{layer}/{kind}" in self._given and array is not None:
                    kept[f"{layer}/{kind}"] = array
        return kept

    def _where(self, name: str) -> str:
        return f"{self.held_in[name.endswith('/bias')]}[{self._layer(name)}]"


class Numbered(_Held):
    """`W1`, `b1`, `W2`, `b2`, ...: keys of a dictionary, or attributes of the network itself."""

    held_in: str = "parameters"
    """The attribute of the network that is the dictionary; empty where the weights are attributes themselves."""
    called: tuple[str, str] = ("W{}", "b{}")
    first: int = 1

    def _put(self, arrays: Sequence[Array]) -> None:
        named = {self._called(name): array for name, array in zip(self.names, arrays, strict=True)}
        if not self.held_in:
            vars(self.network).update(named)
        elif isinstance(holder := getattr(self.network, self.held_in, None), dict):
            holder.update(named)
        else:
            setattr(self.network, self.held_in, named)

    def _kept(self) -> dict[str, Array]:
        holder = vars(self.network) if not self.held_in else getattr(self.network, self.held_in, None) or {}
        return {name: holder[called] for name in self.names if (called := self._called(name)) in holder}

    def _called(self, name: str) -> str:
        return self.called[name.endswith("/bias")].format(self._layer(name) + self.first)

    def _where(self, name: str) -> str:
        return f"{self.held_in}[{self._called(name)!r}]" if self.held_in else self._called(name)


class Flat(_Held):
    """All weights in one vector."""

    held_in: str = "theta"
    """The attribute of the network that is the vector."""
    order: str = "layers"
    """`layers`: the kernel and the bias of one layer after the other; `kernels`: all kernels, then all biases."""
    read: Literal["C", "F"] = "C"
    """How a kernel in its declared layout becomes a row of numbers: row by row (C), or column by column (F)."""

    def start(self, experiment: Experiment, weights: Mapping[str, Array]) -> None:
        _known("order", self.order, ("layers", "kernels"))
        _known("read", self.read, ("C", "F"))
        super().start(experiment, weights)

    def _put(self, arrays: Sequence[Array]) -> None:
        named = dict(zip(self.names, arrays, strict=True))
        vector = np.concatenate([named[name].ravel(self.read) for name in self._ordered()])
        setattr(self.network, self.held_in, vector)

    def _kept(self) -> dict[str, Array]:
        vector = getattr(self.network, self.held_in, None)
        if vector is None:
            return {}
        if (size := sum(array.size for array in self._given.values())) != np.size(vector):
            msg = f"{self.held_in} has {np.size(vector)} numbers; the experiment's weights are {size}"
            raise SideError(msg)
        return dict(self._parts(np.ravel(vector)))

    def _parts(self, vector: Array) -> Iterator[tuple[str, Array]]:
        begin = 0
        for name in self._ordered():
            size = self._given[name].size
            yield name, vector[begin : begin + size].reshape(self._shape(name), order=self.read)
            begin += size

    def _ordered(self) -> list[str]:
        if self.order == "layers":
            return self.names
        return sorted(self.names, key=lambda name: name.endswith("/bias"))  # sorted keeps the order of layers

    def _where(self, name: str) -> str:
        return f"{self.held_in} ({name})"


class Epochs:
    """For a `train(x, y, epochs)` that cannot be stepped; goes before `Lists`, `Numbered` or `Flat` among the bases.

    One step is one epoch on one batch.
    """

    continues: bool = True
    """Whether a second call of `train` goes on where the first ended. Where it begins anew, each step trains from the
    beginning, one epoch more every time: all steps have to be on the same batch."""

    _first: tuple[Array, Array] | None = None
    _taken = 0

    def train(self, x: Array, y: Array, epochs: int) -> Any:
        """Train; returns its last loss, or those of all epochs."""
        raise NotImplementedError

    def start(self, experiment: Experiment, weights: Mapping[str, Array]) -> None:
        self._first, self._taken = None, 0
        super().start(experiment, weights)  # type: ignore[misc]  # of the class it is mixed into

    def step(self, x: Array, y: Array) -> Any:
        if self.continues:
            return _last(self.train(x, y, 1))
        self._first, self._taken = self._first or (x.copy(), y.copy()), self._taken + 1
        if not all(map(np.array_equal, self._first, (x, y))):
            msg = (
                "train begins anew at every call, so that every step must be on the same batch: set batch_size = "
                '"full", or continues = True if it goes on where it ended'
            )
            raise UsageError(msg)
        self.restart()  # type: ignore[attr-defined]
        return _last(self.train(x, y, self._taken))


def pairs(x: Array, y: Array, layout: str = "vector") -> list[tuple[Array, Array]]:
    """The examples of a batch one by one, each as a `vector`, a `column` or a `row`."""
    _known("layout", layout, BIASES)

    def laid_out(one: Any) -> Array:
        return np.reshape(one, BIASES[layout](np.shape(one)))

    return [(laid_out(one), laid_out(target)) for one, target in zip(x, y, strict=True)]


def _last(said: Any) -> Any:
    """The loss of the last epoch."""
    return said[-1] if isinstance(said, list | tuple | np.ndarray) and np.ndim(said) == 1 else said


def _known(what: str, given: str, allowed: Any) -> None:
    if given not in allowed:
        msg = f"{what} = {given!r}; allowed: {', '.join(map(repr, allowed))}" + nearest(given, allowed)
        raise UsageError(msg)
