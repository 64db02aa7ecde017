"""The examples of an experiment: read, prepared, and put in order."""

from parity.data.dataset import Dataset, load_dataset
from parity.data.schedule import Chunk, Schedule, told_examples
from parity.data.taken import taken

__all__ = ["Chunk", "Dataset", "Schedule", "load_dataset", "taken", "told_examples"]
