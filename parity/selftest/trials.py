"""One trial: conventions are planted in a network, which is then judged and explained as anybody's would be.

The reference is the NumPy network with Keras' choices; that it computes what Keras does is what the null runs of
`parity.nullruns` are for, and this way a thousand trials take minutes.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from parity.config import Experiment
from parity.conventions import convention
from parity.data import load_dataset
from parity.diagnosis.evidence import Evidence, Told, take_evidence
from parity.diagnosis.initial import initial_choices
from parity.diagnosis.readings import readings
from parity.diagnosis.rewording import reworded
from parity.diagnosis.search import Search
from parity.diagnosis.stand_in import StandIn, largest
from parity.diagnosis.tried import Set
from parity.diagnosis.used import apart
from parity.lockstep import draw_weights, start_weights
from parity.protocol import Array, Key
from parity.selftest.experiments import likely_experiment
from parity.sides import LoadedSide, load_side

LEVELS = ("everything", "gradients", "loss and weights", "weights")
"""How much a candidate tells; `gradients`: all but the optimizer's slots."""
DETECTED_BY = 2
"""The step by which a mistake that shows must have been seen."""
RESOLUTION = 1e-12
"""The least change that shows, as a share of the largest element of a tensor: below it may be rounding, in float64. A
figure that is asked for, and not what the search happens to see: its own budgets do not enter."""
AGAIN = 3
"""Other experiments in which two sets must be the same to be the same in other words."""
NUMBERS = ("1.7", "0.7")
"""What is planted where any number may be chosen,"""
SMALL = ("0.017", "0.007")
"""and where it is a number of what Keras has none of."""
TRIES = 60
"""Experiments drawn in search of one in which a mistake shows."""
SIDE = "scratch"

_Trial = TypeVar("_Trial")


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
    in_other_words: bool = False
    """Whether a set that was named is what was planted, in other words: the same in whatever experiment."""
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
        """Named, and a report tells nothing beside it: what is the same in other words is told once."""
        return self.right and len(reworded(self.named)) == 1

    @property
    def wrong(self) -> bool:
        """Something was confirmed and is false: not what was planted, nor the same in other words."""
        return bool(self.named) and not self.right and not self.in_other_words


def run_trials(runs: int, size: int, level: str, seed: int, jobs: int) -> Iterator[Trial]:
    """Plant `size` mistakes at once, `runs` times; with size 1 every choice in turn, in the seed's order."""
    singles = [frozenset([single]) for single in all_choices()]
    order = np.random.default_rng(seed).permutation(len(singles))
    wanted = [singles[order[run % len(singles)]] if size == 1 else None for run in range(runs)]
    return in_parallel(run_trial, [(one, size, level, (seed, size, run)) for run, one in enumerate(wanted)], jobs)


def in_parallel(trial: Callable[..., _Trial], work: list[tuple[Any, ...]], jobs: int) -> Iterator[_Trial]:
    """`trial(*arguments)` for each of these, in their order; whoever stops asking need not wait for those under way."""
    if jobs == 1:
        yield from itertools.starmap(trial, work)
        return
    # Ctrl-C reaches every process; what it means to the others is decided here.
    with ProcessPoolExecutor(jobs, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
        together = max(1, min(4, len(work) // (4 * jobs)))  # of few trials each takes its time
        try:
            yield from pool.map(trial, *zip(*work, strict=True), chunksize=together)
        except (KeyboardInterrupt, GeneratorExit):
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def all_choices() -> list[tuple[str, str]]:
    """Every choice but those that are no mistakes, other ways to the same gradient; some numbers where any may be."""
    side = load_side(SIDE).side
    named, numbers = side.conventions(), {code: numbers_of(code) for code in side.factors()}
    choices = {code: (*named[code], *numbers.get(code, ())) for code in named if code != "gradient.engine"}
    return [(code, choice) for code in choices for choice in choices[code]]


def numbers_of(code: str) -> tuple[str, str]:
    """What is planted of a convention of which any number may be chosen."""
    return NUMBERS if convention(code).unchanged else SMALL


def run_trial(wanted: Set | None, size: int, level: str, seed: tuple[int, ...]) -> Trial:
    """Find an experiment in which what is planted shows, and say what the tool says of it.

    Args:
        wanted: what to plant; None for any `size` choices that show in the experiment drawn.
        size: how many to plant at once.
        level: what the candidate tells.
        seed: of everything that is drawn.
    """
    random = np.random.default_rng(seed)
    for _ in range(TRIES):
        trial = Workbench(likely_experiment(random), level).trial(wanted, size, random)
        if trial is not None:
            missed = trial.named and not trial.right
            return replace(trial, seed=seed, in_other_words=bool(missed) and in_other_words(trial, random))
    return Trial(seed, wanted or frozenset(), level, shows=False)


def in_other_words(trial: Trial, random: np.random.Generator) -> bool:
    """Whether a set that was named is what was planted in every experiment, as far as this level tells.

    That it is in this one has been proved, and is no excuse: the run that tells them apart should have been named. So
    other experiments are drawn, in which all that was planted shows.
    """
    named = list(trial.named)
    benches = (Workbench(likely_experiment(random), trial.level) for _ in range(TRIES))
    seen = 0
    for bench in benches:
        if bench.shows_all(trial.planted):
            search = Search(bench.stand_in, bench.told(trial.planted))
            named = [choices for choices in named if search.prove(choices).explains]
            seen += 1
        if not named or seen == AGAIN:
            break
    return bool(named) and seen == AGAIN


class Workbench:
    """One experiment, and the network in which mistakes are planted."""

    def __init__(self, experiment: Experiment, level: str) -> None:
        dataset = load_dataset(experiment)
        self.experiment = experiment.model_copy(update={"examples": len(dataset)})
        self.dataset, self.level, self.side = dataset.astype("float64"), level, load_side(SIDE)
        inputs = self.dataset.x.shape[1]
        drawn = draw_weights(self.side, self.experiment, inputs, "float64")
        self.weights = start_weights(self.experiment, [drawn], inputs, "float64")
        self.stand_in = StandIn(self.experiment, self.side, self.weights)

    def told(self, planted: Set) -> Evidence:
        """The planted network's run, as far as a candidate of this level tells it."""
        return self.told_by(self.side.side.with_conventions(dict(planted)))

    def told_by(self, side: Any) -> Evidence:
        """Any side's run, as far as a candidate of this level tells it."""
        made = LoadedSide(self.side.name, side)
        evidence = take_evidence(self.experiment, made, self.dataset, self.weights, self.experiment.steps or 1)
        return evidence.only(lambda key: tells(self.level, key))

    def drawn(self, planted: Set) -> Mapping[str, Array]:
        """The initial weights that the planted network would draw by itself."""
        made = LoadedSide(self.side.name, self.side.side.with_conventions(dict(planted)))
        return draw_weights(made, self.experiment, self.dataset.x.shape[1], "float64") or {}

    def shows(self, planted: Set, without: Set) -> bool:
        """Whether a network with `planted` can be told from one without some of it: by what it tells, or draws."""
        ours, theirs = self.drawn(planted), self.drawn(without)
        if any(not np.array_equal(ours[name], theirs[name]) for name in ours):
            return True
        return not Search(self.stand_in, self.told(planted)).prove(without).explains

    def shows_all(self, planted: Set) -> bool:
        """Whether each of what is planted shows beside the others, and any two: these can undo each other."""
        idle = [set(some) for count in (1, 2) for some in itertools.combinations(sorted(planted), count)]
        return all(self.shows(planted, planted - some) for some in idle)

    def plant(self, size: int, random: np.random.Generator) -> Set | None:
        """So many choices of different conventions, each of which shows beside those before it."""
        planted: Set = frozenset()
        choices = all_choices()
        for index in random.permutation(len(choices)):
            if len(planted) == size:
                break
            if choices[index][0] in dict(planted):
                continue
            more = planted | {choices[index]}
            if self.shows(more, planted):
                planted = more
        return planted if len(planted) == size else None

    def trial(self, wanted: Set | None, size: int, random: np.random.Generator) -> Trial | None:
        """None where one of the planted mistakes makes no difference, with the others, to what is told or drawn."""
        planted = wanted if wanted is not None else self.plant(size, random)
        if planted is None:
            return None
        if not self.shows_all(planted):
            return None
        search = Search(self.stand_in, self.told(planted))
        began = time.process_time()
        inputs = self.dataset.x.shape[1]
        of_draw = initial_choices(self.experiment, self.side, self.drawn(planted), inputs, "float64")
        parts = not search.prove(frozenset()).explains
        detected = bool(of_draw) or (parts and _seen_early(search, planted, self.level))
        named = tuple(found.choices for found in search.run()[0] if found.choices) if parts and detected else ()
        named = tuple(readings(search, named)) if named else ()
        if of_draw:
            named = tuple(choices | of_draw for choices in named or ((frozenset(),) if not parts else ()))
        return Trial(
            (),
            planted,
            self.level,
            detected=detected,
            named=named,
            seconds=time.process_time() - began,
            tried=search.tried,
            experiment=self.experiment.model_dump_json(exclude={"examples"}),
        )


def changed(one: Told, other: Told, keys: Iterable[Key]) -> dict[Key, Array]:
    """At which steps each of these tensors is another, by more than RESOLUTION."""
    least = [{key: RESOLUTION * largest(array) for key, array in told.items()} for told in one]
    return {key: used > 1 for key, used in apart(other, one, least, keys).items()}


def _seen_early(search: Search, planted: Set, level: str) -> bool:
    """By step 2, unless nothing that is told shows it by then: it may need a smaller batch, or more steps."""
    early = search.evidence.first(DETECTED_BY)
    if not search.try_set(frozenset(), early).explains:
        return True
    clean, made = (search.stand_in.take(early, dict(choices)) for choices in (frozenset(), planted))
    budgets = search.stand_in.budgets(early, {}, clean)
    told = [key for key in clean[0] if tells(level, key) and not _tipped(key, budgets, early.batch)]
    return not any(steps.any() for steps in changed(clean, made, told).values())


def _tipped(key: Key, budgets: Told, batch: int) -> bool:
    """Whether rounding alone decides a metric of some example: where outputs are equal, which of them is largest."""
    return key.phase == "metrics" and any((budget[key] * batch >= 1).any() for budget in budgets)


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
