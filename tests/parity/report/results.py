"""Results to write reports of, made by real sides."""

from __future__ import annotations

from parity.config import validate
from parity.run import diff

HOSTILE = "a|b `c` <script>alert(1)</script> *d* _e_ [f](g) # h \\ i j"


ATTACK = "</script><script>window.hit=1</script><img src=x onerror=window.hit=1>\"'{{7*7}}"


def run(
    *,
    reference: str = "scratch",
    candidate: str = "scratch",
    envelope: bool = False,
    lanes=("local", "free"),
    command="",
    **settings,
):
    table = {
        "name": HOSTILE,
        "data": {"source": "regression", "features": 2, "samples": 8},
        "layers": [{"units": 3, "activation": "tanh", "kernel_regularizer": "l2"}, {"units": 1}],
        "loss": "mse",
        "optimizer": "sgd",
        "batch_size": 4,
        "epochs": 2,
        **settings,
    }
    made = validate(table)
    return diff(made, reference=reference, candidate=candidate, envelope=envelope, lanes=lanes, command=command)


def digits(*, candidate: str = "scratch", steps: int = 3, **settings):
    """The README's experiment."""
    table = {
        "name": "digits",
        "data": {"source": "digits", "scale": 16, "one_hot": 10},
        "layers": [
            {"units": 30, "activation": "relu", "kernel_regularizer": {"l2": 0.001}},
            {"units": 10, "activation": "softmax"},
        ],
        "loss": "categorical_crossentropy",
        "optimizer": {"class_name": "Adam", "learning_rate": 0.002},
        "batch_size": 32,
        "steps": steps,
        **settings,
    }
    return diff(validate(table), reference="scratch", candidate=candidate, command="parity diff digits.toml")


SIDES = """
import numpy as np
from scratch_net.adapter import ScratchSide

class Odd(ScratchSide):
    \"\"\"Its first gradient is off in a way that is no convention.\"\"\"

    def replay(self, reference):
        said = super().replay(reference)
        gradient = said["gradient"]["dense/kernel"]
        wave = 1 + 0.05 * np.sin(1 + np.arange(gradient.shape[1]))[:, None]
        said["gradient"]["dense/kernel"] = gradient * wave.astype(gradient.dtype)
        return said

class Poisoned(ScratchSide):
    \"\"\"Not a number at step 2.\"\"\"

    def replay(self, reference):
        said = super().replay(reference)
        if reference.first_step <= 2 < reference.first_step + len(reference):
            said["output"]["dense"][2 - reference.first_step] = float("nan")
        return said

class OnlyTrains(ScratchSide):
    replay = retrace = None

    def steps(self, x, y):
        said = super().steps(x, y)
        return {"loss": said["loss"], "weights": said["weights"]}

class Hostile(ScratchSide):
    \"\"\"It names what it tells so that a page might run it.\"\"\"

    def steps(self, x, y):
        said = super().steps(x, y)
        return said | {"metrics": {"dense/" + ATTACK: said["loss"]}}
""".replace("+ ATTACK", f"+ {ATTACK!r}")
