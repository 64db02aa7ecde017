"""Mistakes that no convention expresses: the right answer is that none explains them, and where they begin.

The side that has them is found by name, like anybody's. Where a mistake begins is told twice: by the table of the
mistakes, and by the first bits in which a run with it differs from a run without.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from parity.diagnosis.evidence import Evidence
from parity.diagnosis.search import Search
from parity.protocol import Key
from parity.selftest.experiments import likely_experiment
from parity.selftest.trials import TRIES, Trial, Workbench, changed, in_parallel, tells
from parity.sides import load_side

DEFECTIVE = "scratch_net.defects:DefectiveSide"

Place = tuple[str, str]
"""A phase, and a layer or none."""


@dataclass(frozen=True)
class Outside(Trial):
    """A mistake outside the catalogue and what was said of it."""

    defect: str = ""
    place: Place = ("", "")
    """Where it begins."""
    seen: Place = ("", "")
    """Where the diagnosis says that the unexplained begins."""

    @property
    def right(self) -> bool:
        """Nothing was named, and the place is right."""
        return self.detected and not self.named and self.seen == self.place

    @property
    def alone(self) -> bool:
        return self.right

    @property
    def wrong(self) -> bool:
        """Any name is a wrong one."""
        return bool(self.named)


def run_outside(runs: int, level: str, seed: int, jobs: int) -> Iterator[Outside]:
    """Mistakes outside the catalogue in an order that the seed gives, every one in turn, `runs` times in all."""
    names = list(load_side(DEFECTIVE).side.defects())
    order = np.random.default_rng(seed).permutation(len(names))
    work = [(names[order[run % len(names)]], level, (seed, len(names), run)) for run in range(runs)]
    return in_parallel(run_defect, work, jobs)


def run_defect(defect: str, level: str, seed: tuple[int, ...]) -> Outside:
    """Find an experiment in which a mistake makes a difference to what is told, and say what the tool says of it."""
    random = np.random.default_rng(seed)
    for _ in range(TRIES):
        trial = _trial(Workbench(likely_experiment(random), level), defect)
        if trial is not None:
            return replace(trial, seed=seed)
    return Outside(seed, frozenset(), level, shows=False, defect=defect)


def _trial(bench: Workbench, defect: str) -> Outside | None:
    side = load_side(DEFECTIVE).side
    evidence = bench.told_by(side.with_defect(defect))
    search, layers = Search(bench.stand_in, evidence), bench.experiment.layer_names
    places = [_place(key, layers) for key in _first_changed(bench.told(frozenset()), evidence, search.keys)]
    if not places:
        return None
    phase, position = side.defects()[defect]
    place = places[0]
    if tells(bench.level, Key(phase, "layer/weight")):  # else it begins in the first thing told that it changes
        at = {"first": layers[0], "last": layers[-1], "any": place[1], "": ""}[position]
        place = (phase, at)
        if place not in places:  # too small to be seen where it is made
            return None
    began = time.perf_counter()
    unexplained = search.prove(frozenset())
    found, _ = search.run()
    return Outside(
        (),
        frozenset(),
        bench.level,
        detected=not unexplained.explains,
        named=tuple(tried.choices for tried in found if tried.choices),
        seconds=time.perf_counter() - began,
        tried=search.tried,
        experiment=bench.experiment.model_dump_json(exclude={"examples"}),
        defect=defect,
        place=place,
        seen=_place(unexplained.first[1], layers) if unexplained.first else ("", ""),
    )


def _place(key: Key, layers: tuple[str, ...] | list[str]) -> Place:
    return key.phase, key.layer if key.layer in layers else ""


def _first_changed(one: Evidence, other: Evidence, keys: list[Key]) -> list[Key]:
    """The tensors, in execution order, that are others in the first step in which any is."""
    moved = changed(one.told, other.told, keys)
    steps = [int(at.argmax()) for at in moved.values() if at.any()]
    return [key for key in keys if moved[key][min(steps)]] if steps else []
