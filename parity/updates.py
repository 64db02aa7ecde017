"""One weight's update once more, from what the reference recorded, so that its constants can be varied.

The operations stand in Keras' order (keras/src/optimizers/sgd.py, adam.py, rmsprop.py): with the recorded rate and the
experiment's epsilon, SGD and Adam come out to the last bit, RMSprop to within its budget. Momenta and velocities are
taken as recorded; they do not depend on epsilon, and where they depend on the rate (SGD's and RMSprop's momentum) they
are computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from parity.protocol import Array, Key, Records

Update = Callable[[Any, Any], dict[str, Array]]  # rate, epsilon -> the weight after the step, and its momentum


def update_of(optimizer: Any, records: Records, row: int, name: str, span: slice = slice(None)) -> Update:
    """The update of weight `name` in step `row` of the records, over a span of its flattened elements.

    Raises:
        KeyError: the reference did not record what it depends on.
        NotImplementedError: of another optimizer.
    """

    def after(slot: str = "") -> Array:
        return _flat(records.arrays[Key("update", f"{name}/{slot}" if slot else name)][row])

    def before(slot: str = "") -> Array:
        key = Key("update", f"{name}/{slot}" if slot else name)
        return _flat(records.arrays[key][row - 1] if row else records.before[key])

    def _flat(array: Array) -> Array:
        return array.reshape(-1)[span]

    w, g = before(), _flat(records.arrays[Key("gradient", name)][row])
    match optimizer.class_name:
        case "SGD" if not optimizer.momentum:
            return lambda rate, _: {name: w - g * rate}
        case "SGD":
            moving, mu = before("momentum"), w.dtype.type(np.float32(optimizer.momentum))

            def sgd(rate: Any, _: Any) -> dict[str, Array]:
                moved = moving * mu - g * rate
                step = moved * mu - g * rate if optimizer.nesterov else moved
                return {name: w + step, f"{name}/momentum": moved}

            return sgd
        case "Adam":
            t = w.dtype.type(records.arrays[Key("update", "optimizer/iterations")][row])
            b1, b2 = (w.dtype.type(np.float32(beta)) for beta in (optimizer.beta_1, optimizer.beta_2))
            correction = np.sqrt(1 - b2**t), 1 - b1**t
            m, root = after("momentum"), np.sqrt(after("velocity_hat" if optimizer.amsgrad else "velocity"))
            return lambda rate, epsilon: {name: w - (m * (rate * correction[0] / correction[1])) / (root + epsilon)}
        case "RMSprop":
            v, a = after("velocity"), after("average_gradient") if optimizer.centered else None
            momentum = before("momentum") if optimizer.momentum else None

            def rmsprop(rate: Any, epsilon: Any) -> dict[str, Array]:
                root = np.sqrt(v + epsilon if a is None else v - a * a + epsilon)
                moved = rate * g / root
                if momentum is None:
                    return {name: w - moved}
                moved = optimizer.momentum * momentum + moved
                return {name: w - moved, f"{name}/momentum": moved}

            return rmsprop
        case other:
            raise NotImplementedError(f"no update of {other} is written here")


def recorded_rate(records: Records, row: int) -> Any:
    """The learning rate of a step, in the precision of the run.

    Raises:
        KeyError: the reference did not record it.
    """
    return records.arrays[Key("update", "optimizer/learning_rate")][row]
