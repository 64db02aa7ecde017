"""Environment variables that bear on the numbers, as the process was given them: sides set some for themselves."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

SWITCHES = {
    "KERAS_BACKEND": "which library Keras computes with; the reference needs tensorflow",
    "TF_ENABLE_ONEDNN_OPTS": "oneDNN's kernels, which fuse layers; the reference turns them off",
    "TF_DETERMINISTIC_OPS": "kernels that give the same bits every time; the reference turns them on",
    "TF_CUDNN_DETERMINISTIC": "the same for cuDNN",
    "NVIDIA_TF32_OVERRIDE": "TF32: products with 10 bits of mantissa on GPUs from Ampere on; 0 turns it off",
    "XLA_FLAGS": "XLA, which fuses operations and draws other random numbers",
    "CUDA_VISIBLE_DEVICES": "GPUs; the reference takes none",
    "PYTHONHASHSEED": "order of sets of strings",
    "OMP_NUM_THREADS": "threads",
    "OPENBLAS_NUM_THREADS": "threads of OpenBLAS",
    "MKL_NUM_THREADS": "threads of MKL",
    "OPENBLAS_CORETYPE": "which processor's kernels OpenBLAS takes",
    "NPY_DISABLE_CPU_FEATURES": "instructions that NumPy leaves alone",
}


_set_by_sides: dict[str, tuple[str, str]] = {}
"""Switch -> its value before a side that was loaded set it, and the value it was given."""


@contextlib.contextmanager
def set_by_sides() -> Iterator[None]:
    """A side that is loaded inside may set switches for itself: those are its own, not what it was found in."""
    given = as_given()
    try:
        yield
    finally:
        for name, was in given.items():
            if (now := _switch(name)) != was:
                _set_by_sides[name] = (was, now)


def _switch(name: str) -> str:
    return os.environ.get(name, "not set")


def as_given() -> dict[str, str]:
    """As the process was given them."""
    found = {}
    for name in SWITCHES:
        given, made = _set_by_sides.get(name, ("", ""))
        found[name] = given if (now := _switch(name)) == made else now
    return found
