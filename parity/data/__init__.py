"""The examples of an experiment: read, prepared, and put in order."""

from parity.data.dataset import Dataset, load_dataset
from parity.data.schedule import Chunk, Schedule

__all__ = ["Chunk", "Dataset", "Schedule", "load_dataset"]
