"""Many Keras training steps in one compiled loop, with everything they compute on the way.

Each step is what keras/src/backend/tensorflow/trainer.py does in `train_step`: forward, total loss, its gradient, the
optimizer's `apply`, the metrics. The gradient that is applied is Keras' own of the total loss; the parts are computed
beside it. That looking changes nothing is proved in tests/suite/test_runs.py, to the last bit against `fit`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_ref.build import named_slots, named_weights
from keras_ref.runtime import tf
from parity.protocol import Array

LINE = 64  # bytes: EIGEN_MAX_ALIGN_BYTES, where TensorFlow's operations expect every tensor to begin


def _tensor(array: Array) -> Any:
    """The array as a tensor: in the same memory, where that begins as TensorFlow's own does, otherwise copied.

    A tensor that begins so is not copied either where a step takes its batch out of it. DLPack cannot say that an array
    is read-only; nothing writes to what a function is given.
    """
    ours = isinstance(array.base, np.ndarray) and array.base.flags.writeable  # what is taken for writable is
    plain = array.dtype.isnative and array.dtype.kind in "fiub" and array.size and array.flags.c_contiguous
    if not (ours and plain and array.ctypes.data % LINE == 0):
        return tf.constant(array)
    view = array.view()
    view.flags.writeable = True
    return tf.experimental.dlpack.from_dlpack(view.__dlpack__())


class Capture:
    """The instrumented training loop of one compiled model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.weights = named_weights(model)
        self.slots = named_slots(model)
        self.activity = any(layer.activity_regularizer is not None for layer in model.layers)
        self.regularized = [name for name, weight in self.weights.items() if weight.regularizer is not None]
        self._tapped: dict[str, tuple[Any, Any]] = {}
        for layer in model.layers:
            layer.activation = self._tap(layer.name, layer.activation)
        self._run = tf.function(self._loop, jit_compile=False, autograph=False)
        self._compiled: dict[Any, Any] = {}

    def steps(self, x: Array, y: Array) -> dict[str, Any]:
        """Train on x (steps, batch, features) and y; the vocabulary of a step, steps as the first axis."""
        run, one = self._compiled_for(x, y)
        said = run(_tensor(x), _tensor(y), one)
        # The buffer protocol views TensorFlow's memory; `.numpy()` would copy it.
        return {"x": x, "y": y, **tf.nest.map_structure(lambda tensor: np.asarray(memoryview(tensor)), said)}

    def _compiled_for(self, x: Array, y: Array) -> tuple[Any, Any]:
        """The loop for batches of this shape, whatever the number of steps, and the 1 it takes.

        Compiling takes longer than many steps.
        """
        batch = tuple((array.shape[1:], array.dtype) for array in (x, y))
        if batch not in self._compiled:
            any_steps = (tf.TensorSpec((None, *shape), dtype) for shape, dtype in batch)
            self._make_metrics(tf.constant(x[0]), tf.constant(y[0]))
            run = self._run.get_concrete_function(*any_steps, tf.TensorSpec((), x.dtype))
            self._compiled[batch] = run, tf.ones((), x.dtype)
        return self._compiled[batch]

    def _tap(self, name: str, activation: Any) -> Any:
        """The same activation, which also lets us see what goes in and what comes out."""

        def tapped(z: Any) -> Any:
            a = activation(z)
            self._tapped[name] = (z, a)
            return a

        return tapped

    def _loop(self, x: Any, y: Any, one: Any) -> dict[str, Any]:
        step = tf.function(self._step, jit_compile=False, autograph=False).get_concrete_function(
            tf.TensorSpec(x.shape[1:], x.dtype), tf.TensorSpec(y.shape[1:], y.dtype), tf.TensorSpec((), x.dtype)
        )
        outputs = step.structured_outputs
        count = tf.shape(x)[0]
        stacks = tf.nest.map_structure(
            lambda out: tf.TensorArray(out.dtype, size=count, element_shape=out.shape), outputs
        )

        def body(index: Any, stacks: Any) -> tuple[Any, Any]:
            said = step(x[index], y[index], one)
            return index + 1, tf.nest.map_structure(lambda stack, value: stack.write(index, value), stacks, said)

        _, stacks = tf.while_loop(lambda index, _: index < count, body, (0, stacks), parallel_iterations=1)
        return tf.nest.map_structure(lambda stack: stack.stack(), stacks)

    def _step(self, x: Any, y: Any, one: Any) -> dict[str, Any]:
        """`one` is 1, but the graph optimizer must not know.

        Where outputs are penalized, the parts of the gradient start from it. Started from a constant, their operations
        would be the same as some of the whole gradient's and be shared with it, and what is used twice is not rewritten
        as in `fit`: for L1 and L2 on an output, `fit` computes `(a + b) * c` for the sum `a * c + b * c`. Without such
        penalties sharing is what we want: the data part is then made of the very numbers that are recorded.
        """
        model = self.model
        trainable = list(self.weights.values())
        with tf.GradientTape(persistent=True) as tape:
            predicted = model(x, training=True)
            total = model.compute_loss(x, y, predicted, training=True)
            data = model._compile_loss(y, predicted)  # noqa: SLF001  # the same graph node as inside compute_loss
            penalties = self._penalties()
            penalty = tf.add_n(list(penalties.values())) if penalties else None
        seen = self._seen()
        wanted = {**{name: weight.value for name, weight in self.weights.items()}, **seen}
        found = tape.gradient(total, list(wanted.values()))
        gradient = {name: g for name, g in zip(wanted, found, strict=True) if g is not None}
        for layer in model.layers:  # a factor of zero leaves the output out of the graph: its gradient is zero
            name = f"{layer.name}/output"
            if layer.activity_regularizer is not None and name not in gradient:
                gradient[name] = tf.zeros_like(wanted[name])

        said: dict[str, Any] = {
            "pre_activation": {layer: z for layer, (z, _) in self._tapped.items()},
            "output": {layer: a for layer, (_, a) in self._tapped.items()},
            "loss": total,
            "loss/data": data,
            "gradient": gradient,
        }
        if penalty is not None:
            split = list(self.weights) if self.activity else self.regularized
            sources = [self.weights[name].value for name in split]
            zero = tf.UnconnectedGradients.ZERO
            seed = one if self.activity else None
            said |= {
                "penalty": penalties,
                "loss/penalty": penalty,
                "gradient/data": dict(zip(split, tape.gradient(data, sources, seed, zero), strict=True)),
                "gradient/penalty": dict(zip(split, tape.gradient(penalty, sources, seed, zero), strict=True)),
            }
        model.optimizer.apply([gradient[name] for name in self.weights], trainable)
        said["metrics"] = self._metrics(y, predicted)
        said["optimizer"] = {name: tf.identity(slot.value) for name, slot in self.slots.items()}
        said["weights"] = {name: tf.identity(weight.value) for name, weight in self.weights.items()}
        return said

    def _seen(self) -> dict[str, Any]:
        """Values whose gradients are recorded."""
        outputs = {f"{layer}/output": a for layer, (_, a) in self._tapped.items()}
        return outputs | {f"{layer}/pre_activation": z for layer, (z, _) in self._tapped.items()}

    def _penalties(self) -> dict[str, Any]:
        """What each regularizer adds. `layer.losses` holds that of the output first, then those of the weights."""
        penalties: dict[str, Any] = {}
        for layer in self.model.layers:
            names = [f"{layer.name}/output"] if layer.activity_regularizer is not None else []
            names += [f"{layer.name}/{weight.name}" for weight in layer.weights if weight.regularizer is not None]
            penalties |= dict(zip(names, layer.losses, strict=True))
        return penalties

    def _make_metrics(self, x: Any, y: Any) -> None:
        """Keras makes them when they are first used. Within a step that would have TensorFlow trace the step twice."""
        compiled = self.model._compile_metrics  # noqa: SLF001  # Keras has no public way to it
        if compiled is not None and not compiled.built:
            compiled.build(y, tf.zeros((len(x), *self.model.output_shape[1:]), x.dtype))

    def _metrics(self, y: Any, predicted: Any) -> dict[str, Any]:
        """Each metric of this batch alone: Keras' own objects, emptied first (`fit` reports the running mean)."""
        compiled = self.model._compile_metrics  # noqa: SLF001  # the very objects that `fit` updates
        if compiled is None:
            return {}
        compiled.reset_state()
        compiled.update_state(y, predicted)
        return dict(compiled.result())
