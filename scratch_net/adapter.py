"""The NumPy network as a side: built from an experiment, run many steps at a time, replayed phase by phase.

The only file of this package that knows the examiner.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from parity.config import Experiment
from parity.config.philox import KerasRandom, layer_seeds
from parity.protocol import Array, Key, Records
from scratch_net import conventions
from scratch_net.activations import ACTIVATIONS
from scratch_net.conventions.sharing import Products
from scratch_net.initializers import RANDOM
from scratch_net.layers import Dense
from scratch_net.losses import LOSSES
from scratch_net.metrics import METRICS
from scratch_net.network import Network
from scratch_net.optimizers import OPTIMIZERS
from scratch_net.record import counter_words, record_step
from scratch_net.regularizers import REGULARIZERS
from scratch_net.replay import replay


def _parameters(config: Any, *leave_out: str) -> dict[str, Any]:
    return config.model_dump(exclude={"class_name", *leave_out})


def _regularizer(config: Any) -> Any:
    return None if config is None else REGULARIZERS[config.class_name](**_parameters(config))


def build(
    experiment: Experiment,
    weights: Mapping[str, Array],
    choices: Mapping[str, str] | None = None,
    products: Products | None = None,
) -> Network:
    """The experiment's network in the dtype of `weights`, with copies of them as its weights."""
    layers = [
        Dense(
            config.name,
            np.array(weights[f"{config.name}/kernel"], order="C"),
            np.array(weights[f"{config.name}/bias"]) if config.use_bias else None,
            ACTIVATIONS[config.activation](),
            _regularizer(config.kernel_regularizer),
            _regularizer(config.bias_regularizer),
            _regularizer(config.activity_regularizer),
        )
        for config in experiment.layers
    ]
    loss = LOSSES[experiment.loss.class_name](**_parameters(experiment.loss, "from_logits"))
    optimizer = OPTIMIZERS[experiment.optimizer.class_name](**_parameters(experiment.optimizer))
    metrics = {name: METRICS[name] for name in experiment.metrics}
    from_logits = getattr(experiment.loss, "from_logits", False)
    network = Network(layers, loss, optimizer, metrics, from_logits=from_logits)
    training = conventions.Training(
        batch_size=experiment.batch_size if isinstance(experiment.batch_size, int) else experiment.examples,
        examples=experiment.examples,
        scale=experiment.data.scale,
        products=products,
    )
    return conventions.apply(network, choices or {}, training)


def initial_weights(
    experiment: Experiment, inputs: int, dtype: str, choices: Mapping[str, str] | None = None
) -> dict[str, Array]:
    """Every weight as its initializer draws it, seeds taken in the order in which Keras takes them."""
    choices = choices or {}
    initializers = conventions.initializers(choices)
    next_seed = conventions.seeds(choices, layer_seeds(experiment.seed))
    weights = {}
    for layer in experiment.layers:
        drawn = {}
        for name, shape in (("kernel", (inputs, layer.units)), ("bias", (layer.units,))):
            config = getattr(layer, f"{name}_initializer")
            asked = conventions.asked_for(choices, config.class_name, _parameters(config, "seed"), inputs)
            class_name, parameters = asked
            random = None
            if class_name in RANDOM:
                seed = getattr(config, "seed", None)
                random = KerasRandom(next_seed() if seed is None else seed, dtype)
            initializer: Any = initializers[class_name]
            drawn[name] = initializer(shape, np.dtype(dtype), random, **parameters)
        weights[f"{layer.name}/kernel"] = drawn["kernel"]
        if layer.use_bias:
            weights[f"{layer.name}/bias"] = drawn["bias"]
        inputs = layer.units
    return weights


class ScratchSide:
    """A side by the protocol of `parity.protocol`; `choices` are conventions other than Keras'."""

    network: Network  # built by start

    _stacks: dict[str, deque[Stacks]]

    lasting = True  # see `steps` in the protocol
    replays_beside = True  # see `replay` in the protocol

    def __init__(self, choices: Mapping[str, str] | None = None, products: Products | None = None) -> None:
        self.choices = dict(choices or {})
        conventions.check(self.choices)
        self._products = products

    def _next_stacks(self, method: str, count: int) -> Stacks:
        with self._turn:
            stacks = self._stacks[method]
            stacks.rotate()
            stacks[0].begin(count)
            return stacks[0]

    def with_conventions(self, choices: Mapping[str, str]) -> ScratchSide:
        return ScratchSide({**self.choices, **choices}, self._products)

    def sharing(self) -> ScratchSide:
        """Itself, and with other conventions later: they share what they multiply alike; see `conventions.sharing`."""
        return ScratchSide(self.choices, Products())

    def with_roundings(self, members: int, size: float) -> list[ScratchSide]:
        """So many of itself with rounding errors of a size, each with its own; see `conventions.rounding`."""
        errors = ({"rounding.seed": str(member), "rounding.size": str(size)} for member in range(members))
        return [self.with_conventions(choices) for choices in errors]

    def makes(self) -> dict[str, str]:
        return dict(self.choices)

    def conventions(self) -> dict[str, tuple[str, ...]]:
        return {code: tuple(choices) for code, choices in conventions.CHOICES.items()}

    def factors(self) -> tuple[str, ...]:
        """Codes whose choice may also be a number, by which something of Keras' is multiplied."""
        return conventions.FACTORS

    def environment(self) -> dict[str, str]:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return {"numpy": np.__version__, "blas": f"{blas['name']} {blas['version']}"}

    def initial_weights(self, experiment: Experiment, inputs: int, precision: str) -> dict[str, Array]:
        return initial_weights(experiment, inputs, precision, self.choices)

    def built(self, products: Products | None = None) -> Network:
        """One of its networks: that which trains, or one that replays."""
        return build(*self._started, self.choices, products)

    def start(self, experiment: Experiment, weights: Mapping[str, Array]) -> None:
        self._started = experiment, weights
        self.network = self.built(self._products)
        self._of_thread = threading.local()
        # Memory that was written before is several times faster to write to than new memory. What a call returned lasts
        # through two more runs of steps, or one more chunk with its two replays while another is replayed ahead.
        self._stacks = {"steps": deque([Stacks() for _ in range(3)]), "replay": deque([Stacks() for _ in range(6)])}
        self._turn = threading.Lock()

    @property
    def _replayed(self) -> Network:
        """A network that is only ever given what was recorded, one for each thread; its own weights do not matter."""
        if not hasattr(self._of_thread, "network"):
            self._of_thread.network = self.built()
        network: Network = self._of_thread.network
        return network

    def initial_state(self) -> dict[str, Array]:
        optimizer = self.network.optimizer
        slots = {name: slot.copy() for name, slot in optimizer.slots.items()}
        return slots | counter_words(optimizer, self.network.dtype)

    def set_state(self, state: Mapping[str, Array]) -> None:
        optimizer = self.network.optimizer
        for name in state.keys() & optimizer.slots.keys():
            optimizer.slots[name][...] = state[name]
        optimizer.iterations = int(state["optimizer/iterations"])

    def weights(self) -> dict[str, Array]:
        return {name: w.copy() for name, w in self.network.weights.items()}

    def step(self, x: Array, y: Array) -> dict[str, Any]:
        said = self.steps(x[None], y[None])
        return {
            word: {name: array[0].copy() for name, array in value.items()}
            if isinstance(value, dict)
            else value[0].copy()
            for word, value in said.items()
        }

    def steps(self, x: Array, y: Array) -> dict[str, Any]:
        stacks = self._next_stacks("steps", len(x))
        with np.errstate(all="ignore"):  # NaN and infinity are results like others; the examiner reports them
            for index in range(len(x)):
                stacks.put(index, record_step(self.network, x[index], y[index]))
        return {"x": x, "y": y, **stacks.said}

    def replay(self, reference: Records) -> dict[str, Any]:
        """The local lane, see `scratch_net.replay`: the whole stack of steps at once, where the network can."""
        before = reference.states_before()
        stacks = self._next_stacks("replay", len(reference))
        with np.errstate(all="ignore"):
            network = self._replayed
            if network.stacks:
                for layer in network.layers:
                    layer.buffers = stacks.buffers.setdefault(layer.name, {})
                return replay(network, reference.arrays, before)
            for index in range(len(reference)):
                of_step = {key: array[index] for key, array in before.items()}
                stacks.put(index, replay(network, reference.step(index), of_step))
        return stacks.said

    def retrace(self, records: Records) -> dict[str, Any]:
        """Each step taken from where the recorded one began, see the protocol."""
        network, before = self.network, records.states_before()
        kept = network.weights | network.optimizer.slots
        placed = {name: before[key] for name in kept if (key := Key("update", name)) in before}
        counters = before.get(Key("update", "optimizer/iterations"))
        if counters is None:  # the records may begin late
            network.optimizer.iterations = max(network.optimizer.iterations, records.first_step - 1)
        x, y = (records.arrays[Key("batch", name)] for name in ("x", "y"))
        stacks = self._next_stacks("steps", len(x))
        with np.errstate(all="ignore"):
            for index in range(len(x)):
                for name, stack in placed.items():
                    kept[name][...] = stack[index]
                if counters is not None:
                    network.optimizer.iterations = int(counters[index])
                stacks.put(index, record_step(network, x[index], y[index]))
        return stacks.said


class Stacks:
    """Collects what each step said into arrays with the steps as first axis; the arrays are used again."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}
        self._count = 0
        self._kept: dict[tuple[str, str], Array] = {}
        self.buffers: dict[str, dict[str, Array]] = {}

    def begin(self, count: int) -> None:
        """Forget what was said, and make room for `count` steps."""
        self.said, self._count = {}, count

    def put(self, index: int, words: Mapping[str, Any]) -> None:
        if index == 0:
            self.said = {
                word: {name: self._stack(word, name, array) for name, array in value.items()}
                if isinstance(value, dict)
                else self._stack(word, "", value)
                for word, value in words.items()
            }
        for word, value in words.items():
            stack = self.said[word]
            if isinstance(value, dict):
                for name, array in value.items():
                    stack[name][index] = array
            else:
                stack[index] = value

    def _stack(self, word: str, name: str, like: Any) -> Array:
        """Room for the steps of one tensor: the array that was used for it before, where that is large enough."""
        shape, dtype = np.shape(like), np.asarray(like).dtype
        kept = self._kept.get((word, name))
        if kept is None or len(kept) < self._count or (kept.shape[1:], kept.dtype) != (shape, dtype):
            kept = self._kept[word, name] = np.empty((self._count, *shape), dtype)
        return kept[: self._count]
