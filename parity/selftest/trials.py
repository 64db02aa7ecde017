"""One trial: conventions are planted in a network, which is then judged and explained as anybody's would be.

The reference is the NumPy network with Keras' choices; that it computes what Keras does is what the null runs of
`parity.nullruns` are for, and this way a thousand trials take minutes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from parity.config import Experiment
from parity.data import Dataset, load_dataset
from parity.diagnosis.evidence import Evidence, take_evidence
from parity.diagnosis.search import Search, Set
from parity.diagnosis.stand_in import StandIn
from parity.lockstep import draw_weights, start_weights
from parity.protocol import Array, Key
from parity.selftest.experiments import likely_experiment
from parity.sides import LoadedSide, load_side

LEVELS = ("everything", "gradients", "loss and weights", "weights")
"""How much a candidate tells; `gradients`: all but the optimizer's slots."""
DETECTED_BY = 2
"""The step by which a mistake that shows must have been seen."""
TRIES = 30
"""Experiments drawn in search of one in which a mistake shows."""
SIDE = "scratch"


@dataclass(frozen=True)
class Trial:
    """What was planted and what was said of it."""

    seed: tuple[int, ...]
    planted: Set
    level: str
    shows: bool = True
    """Whether an experiment was found in which every planted mistake makes a difference."""
    detected: bool = False
    named: tuple[Set, ...] = ()
    """The sets that explain everything; more than one where the run cannot tell them apart."""
    seconds: float = 0.0
    tried: int = 0
    experiment: str = field(default="", repr=False)
    """As JSON, to repeat it."""

    @property
    def right(self) -> bool:
        """Named, alone or among those that this run cannot tell apart."""
        return self.planted in self.named

    @property
    def alone(self) -> bool:
        return self.named == (self.planted,)

    @property
    def wrong(self) -> bool:
        """Something was confirmed, and it is not what was planted."""
        return bool(self.named) and not self.right


def run_trials(runs: int, size: int, level: str, seed: int, jobs: int) -> Iterator[Trial]:
    """Plant `size` mistakes at once, `runs` times; with size 1 every choice in turn."""
    choices = [single for single in _all_choices() if single[0] != "gradient.engine"]
    planted: list[Set]
    if size == 0:
        planted = [frozenset()] * runs
    elif size == 1:
        planted = [frozenset([single]) for single in itertools.islice(itertools.cycle(choices), runs)]
    else:
        planted = [_draw(np.random.default_rng((seed, size, run)), choices, size) for run in range(runs)]
    work = [(one, level, (seed, size, run)) for run, one in enumerate(planted)]
    if jobs == 1:
        yield from itertools.starmap(run_trial, work)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run_trial, *zip(*work, strict=True), chunksize=4)


def _all_choices() -> list[tuple[str, str]]:
    return [(code, choice) for code, choices in load_side(SIDE).side.conventions().items() for choice in choices]


def _draw(random: np.random.Generator, choices: list[tuple[str, str]], size: int) -> Set:
    """So many choices of different conventions."""
    found: dict[str, str] = {}
    while len(found) < size:
        code, choice = choices[random.integers(len(choices))]
        found.setdefault(code, choice)
    return frozenset(found.items())


def run_trial(planted: Set, level: str, seed: tuple[int, ...]) -> Trial:
    """Find an experiment in which what is planted shows, and say what the tool says of it."""
    random = np.random.default_rng(seed)
    for _ in range(TRIES):
        experiment = likely_experiment(random)
        trial = _tried(experiment, planted, level, seed)
        if trial is not None:
            return trial
    return Trial(seed, planted, level, shows=False)


def _tried(experiment: Experiment, planted: Set, level: str, seed: tuple[int, ...]) -> Trial | None:
    """None where one of the planted mistakes makes no difference, with the others, to what is told."""
    dataset = load_dataset(experiment)
    experiment = experiment.model_copy(update={"examples": len(dataset)})
    dataset, side = dataset.astype("float64"), load_side(SIDE)
    weights = start_weights(
        experiment, [draw_weights(side, experiment, dataset.x.shape[1], "float64")], dataset.x.shape[1], "float64"
    )
    evidence = _told(experiment, side, planted, dataset, weights, level)
    search = Search(StandIn(experiment, side, weights), evidence)
    if any(search.prove(planted - {one}).explains for one in planted):
        return None
    began = time.perf_counter()
    detected = not search.prove(frozenset()).explains and _seen_early(search, planted)
    named = tuple(found.choices for found in search.run()[0] if found.choices) if detected else ()
    readings = tuple(other for found in named[:1] for other in search.readings(found) if other not in named)
    return Trial(
        seed,
        planted,
        level,
        detected=detected,
        named=(*named, *readings),
        seconds=time.perf_counter() - began,
        tried=search.tried,
        experiment=experiment.model_dump_json(exclude_defaults=True),
    )


def _seen_early(search: Search, planted: Set) -> bool:
    """By step 2, unless what is planted does not show by then: it may need a smaller batch, or more steps."""
    early = search.evidence.first(DETECTED_BY)
    if search.try_set(planted - planted, early).explains:
        clean = search.stand_in.take(early, {})
        made = search.stand_in.take(early, dict(planted))
        return all(np.array_equal(one[key], other[key]) for one, other in zip(clean, made, strict=True) for key in one)
    return True


def _told(
    experiment: Experiment,
    side: LoadedSide,
    planted: Set,
    dataset: Dataset,
    weights: dict[str, Array],
    level: str,
) -> Evidence:
    """The planted network's run, as far as a candidate of that level tells it."""
    made = LoadedSide(side.name, side.side.with_conventions(dict(planted)))
    evidence = take_evidence(experiment, made, dataset, weights, experiment.steps or 1)
    return evidence.only(lambda key: tells(level, key))


def tells(level: str, key: Key) -> bool:
    """Whether a candidate of that level tells this."""
    weight = key.phase == "update" and key.tensor.count("/") == 1 and not key.tensor.startswith("optimizer/")
    match level:
        case "everything":
            return True
        case "gradients":
            return key.phase != "update" or weight
        case "loss and weights":
            return weight or key == Key("loss", "loss")
        case _:
            return weight
