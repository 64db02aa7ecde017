"""A network of one's own that writes a trace for `parity compare`: NumPy and the standard library, nothing else.

    python writer.py OUT [FACTOR]

FACTOR is what the penalty lambda * sum(W**2) is multiplied with: 1 as in Keras, 0.5 as in many textbooks.
"""

import json
import sys
from pathlib import Path

import numpy as np

experiment = json.loads(Path(__file__).with_name("experiment.json").read_text())
out, factor = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0

x = np.array(experiment["data"]["x"])
y = np.array(experiment["data"]["y"]).reshape(-1, 1)
lam = factor * experiment["layers"][0]["kernel_regularizer"]["l2"]
rate = experiment["optimizer"]["learning_rate"]
W1, b1, W2, b2 = (np.array(array) for array in experiment["initial_weights"].values())

stacked = {}  # array name -> one array for each step


def tell(name, array):
    stacked.setdefault(name, []).append(np.array(array))


def state(iterations):
    return {
        "weights:dense/kernel": W1,
        "weights:dense/bias": b1,
        "weights:dense_1/kernel": W2,
        "weights:dense_1/bias": b2,
        "optimizer:optimizer/iterations": np.int64(iterations),
        "optimizer:optimizer/learning_rate": np.float64(rate),
    }


start = {name: np.array(array) for name, array in state(0).items()}
for step in range(1, experiment["steps"] + 1):
    z1 = x @ W1 + b1
    a1 = 1 / (1 + np.exp(-z1))
    z2 = a1 @ W2 + b2  # the last layer is linear: its output is z2

    data = np.mean((z2 - y) ** 2)
    penalty = lam * (np.sum(W1**2) + np.sum(W2**2))

    dz2 = 2 * (z2 - y) / y.size
    dW2, db2 = a1.T @ dz2, dz2.sum(axis=0)
    da1 = dz2 @ W2.T
    dz1 = da1 * a1 * (1 - a1)
    dW1, db1 = x.T @ dz1, dz1.sum(axis=0)
    dW1, dW2 = dW1 + 2 * lam * W1, dW2 + 2 * lam * W2

    for name, array in {
        "x": x,
        "y": y,
        "pre_activation:dense": z1,
        "output:dense": a1,
        "pre_activation:dense_1": z2,
        "output:dense_1": z2,
        "loss": data + penalty,
        "loss/data": data,
        "loss/penalty": penalty,
        "gradient:dense/output": da1,
        "gradient:dense/pre_activation": dz1,
        "gradient:dense/kernel": dW1,
        "gradient:dense/bias": db1,
        "gradient:dense_1/output": dz2,
        "gradient:dense_1/pre_activation": dz2,
        "gradient:dense_1/kernel": dW2,
        "gradient:dense_1/bias": db2,
    }.items():
        tell(name, array)

    W1, b1, W2, b2 = W1 - rate * dW1, b1 - rate * db1, W2 - rate * dW2, b2 - rate * db2
    for name, array in state(step).items():
        tell(name, array)

# The trace ----------------------------------------------------------------------------------------------------------

PHASES = {"x": "batch", "y": "batch", "pre_activation": "forward", "output": "forward", "weights": "update"}
PHASES |= {"optimizer": "update"}  # loss, loss/data and gradient begin with their phase


def written(name, write):
    """A file appears whole or not at all."""
    unfinished = out / f".{name}"
    with unfinished.open("wb") as file:
        write(file)
    unfinished.replace(out / name)


arrays = {name: np.stack(array) for name, array in stacked.items()}
tensors = {
    name: {
        "phase": PHASES.get(name.partition(":")[0], name.replace(":", "/").partition("/")[0]),
        "dtype": array.dtype.str,
        "shape": list(array.shape[1:]),
    }
    for name, array in arrays.items()
}
manifest = {
    "format_version": 1,
    "side": f"writer.py, factor {factor:g}",
    "experiment": {key: value for key, value in experiment.items() if key != "initial_weights"},
    "precision": "float64",
    "tensors": tensors,
    "files": [{"name": "steps.npz", "first_step": 1, "steps": experiment["steps"]}],
}
out.mkdir(parents=True, exist_ok=True)
written("start.npz", lambda file: np.savez(file, **start))
written("steps.npz", lambda file: np.savez(file, **arrays))
written("manifest.json", lambda file: file.write(json.dumps(manifest, indent=1).encode()))  # last: it names the others
