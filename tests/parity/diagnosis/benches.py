"""Small experiments with a network to plant mistakes in, and with what a diagnosis is given."""

from __future__ import annotations

import numpy as np

from parity.config import validate
from parity.diagnosis.evidence import take_evidence
from parity.diagnosis.search import Search
from parity.diagnosis.stand_in import StandIn
from parity.lockstep import draw_weights, start_weights
from parity.selftest.experiments import likely_experiment
from parity.selftest.trials import Workbench, tells
from parity.sides import LoadedSide, load_side

# Large enough for the search not to think of finite differences, which take their time.
TABLE = {
    "data": {"source": "classification", "samples": 20, "features": 8, "classes": 3, "one_hot": 3, "scale": 2},
    "layers": [
        {"units": 9, "activation": "tanh", "kernel_regularizer": {"l2": 0.01}},
        {"units": 3, "activation": "softmax", "kernel_regularizer": {"l2": 0.01}},
    ],
    "loss": "CategoricalCrossentropy",
    "optimizer": {"class_name": "SGD", "learning_rate": 0.1},
    "batch_size": 6,  # the fourth step has a batch of two
    "steps": 6,
    "seed": 3,
}


def likely(seed, level="everything"):
    """A random experiment as people run them."""
    return Workbench(likely_experiment(np.random.default_rng(seed)), level)


def bench(level="everything", **settings):
    return Workbench(validate({**TABLE, **settings}), level)


def searched(on, planted, **settings):
    """The search, and the sets that it finds to explain everything."""
    search = Search(on.stand_in, on.told(frozenset(planted.items())), **settings)
    return search, [dict(tried.choices) for tried in search.run()[0]]


class InPrecision:
    """What `Workbench` has, in float32 as well."""

    def __init__(self, experiment, dtype):
        on = Workbench(experiment, "everything")
        self.experiment, self.side = on.experiment, load_side("scratch")
        self.dataset = on.dataset.astype(dtype)
        inputs = self.dataset.x.shape[1]
        drawn = draw_weights(self.side, self.experiment, inputs, dtype)
        self.weights = start_weights(self.experiment, [drawn], inputs, dtype)
        self.stand_in = StandIn(self.experiment, self.side, self.weights)

    def told(self, choices, level="everything"):
        made = LoadedSide("scratch", self.side.side.with_conventions(choices))
        evidence = take_evidence(self.experiment, made, self.dataset, self.weights, self.experiment.steps)
        return evidence.only(lambda key: tells(level, key))
