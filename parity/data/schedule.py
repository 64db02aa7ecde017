"""Which examples are in which step: batches in order, grouped into chunks of equal batch size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from parity.config import Experiment
from parity.config.philox import shuffled
from parity.errors import UsageError


def told_examples(experiment: Experiment, examples: int) -> Experiment:
    """The experiment that knows how many examples it has.

    Raises:
        UsageError: it says that it has others.
    """
    if experiment.examples not in {None, examples}:
        msg = f"examples = {experiment.examples}, but the data has {examples}; leave the key out"
        raise UsageError(msg)
    return experiment.model_copy(update={"examples": examples})


@dataclass(frozen=True)
class Chunk:
    """Consecutive steps with batches of one size: `rows[i]` are the examples of step `first_step + i`."""

    first_step: int
    rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Schedule:
    """The steps of a run over `examples` examples."""

    examples: int
    batch_size: int
    steps: int
    drop_remainder: bool
    shuffle_seed: int | None

    @classmethod
    def of(cls, experiment: Experiment, examples: int) -> Schedule:
        batch_size = examples if experiment.batch_size == "full" else min(experiment.batch_size, examples)
        if experiment.drop_remainder and experiment.batch_size != "full" and experiment.batch_size > examples:
            msg = (
                f"batch_size = {experiment.batch_size} with drop_remainder leaves no batch of {examples} examples; "
                "use a smaller batch_size"
            )
            raise UsageError(msg)
        count = examples // batch_size if experiment.drop_remainder else -(-examples // batch_size)
        steps = experiment.steps or (experiment.epochs or 1) * count
        seed = experiment.seed if experiment.shuffle else None
        return cls(examples, batch_size, steps, experiment.drop_remainder, seed)

    @property
    def epoch_steps(self) -> int:
        """Steps of one epoch."""
        whole, rest = divmod(self.examples, self.batch_size)
        return whole + bool(rest and not self.drop_remainder)

    def order(self) -> npt.NDArray[np.int64]:
        """The order of the examples in every epoch (Keras under a global seed repeats one permutation)."""
        return np.arange(self.examples) if self.shuffle_seed is None else shuffled(self.examples, self.shuffle_seed)

    def chunks(self, length: int, first: int = 1, last: int | None = None) -> Iterator[Chunk]:
        """All steps (or those from `first` to `last`) in order, at most `length` of them at once.

        A smaller last batch of an epoch is a chunk of its own. The steps between two such are dealt out evenly, over
        the ends of epochs where all batches are of one size: a chunk of few steps costs as much besides as one of many.
        """
        order = self.order()
        whole = self.examples // self.batch_size
        full = order[: whole * self.batch_size].reshape(whole, self.batch_size)
        rest = order[None, whole * self.batch_size :]
        step, last = first, self.steps if last is None else min(last, self.steps)
        while step <= last:
            of_epoch, left = (step - 1) % self.epoch_steps, last - step + 1
            rows = rest
            if of_epoch < whole:
                alike = left if self.epoch_steps == whole else min(whole - of_epoch, left)
                taken = math.ceil(alike / math.ceil(alike / length))
                rows = full[np.arange(of_epoch, of_epoch + taken) % whole]
            yield Chunk(step, rows)
            step += len(rows)
