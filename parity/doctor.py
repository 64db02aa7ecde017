"""The environment, as far as it bears on the numbers: versions, processor, linear algebra, threads, switches.

Nothing heavy is imported for it: of TensorFlow and Keras the installed versions are read, and the switches are those of
environment variables, which hold for a process that starts now.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("keras-parity", "numpy", "keras", "tensorflow", "ml-dtypes")
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


def environment() -> dict[str, str]:
    """Every fact with its value; `not set` and `not installed` are values as well."""
    facts = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    facts |= {"processor": _processor(), "processors": str(os.cpu_count()), "instructions": _instructions()}
    facts |= {package: _version(package) for package in PACKAGES}
    facts |= _linear_algebra()
    facts["subnormal numbers"] = _subnormals()
    return facts | {name: os.environ.get(name, "not set") for name in SWITCHES}


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What is not as it was: name -> then, now. Only what both tell of."""
    return {name: (then[name], now[name]) for name in then if name in now and then[name] != now[name]}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "not known"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "not known")


def _instructions() -> str:
    """What NumPy found and uses beyond its baseline."""
    found = _config().get("SIMD Extensions", {})
    return ", ".join([*found.get("baseline", []), *found.get("found", [])]) or "not known"


def _config() -> dict[str, Any]:
    return dict(np.show_config(mode="dicts"))


def _linear_algebra() -> dict[str, str]:
    """The BLAS that NumPy was built with, and what is loaded of it, with its threads."""
    from threadpoolctl import threadpool_info  # noqa: PLC0415  # looks through every library that is loaded

    blas = _config().get("Build Dependencies", {}).get("blas", {})
    facts = {"blas": f"{blas.get('name', 'not known')} {blas.get('version', '')}".strip()}
    loaded = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    # Another library may bring one of its own, with which NumPy has nothing to do.
    own = [pool for pool in loaded if any(part.startswith("numpy") for part in Path(pool["filepath"]).parts)]
    pools = own or loaded
    facts["blas kernels"] = ", ".join(str(pool.get("architecture", "not known")) for pool in pools) or "not known"
    facts["blas threads"] = ", ".join(str(pool["num_threads"]) for pool in pools) or "not known"
    return facts


def _subnormals() -> str:
    """Whether this process keeps numbers below the smallest normal one; a library may have turned that off."""
    smallest = np.array([np.finfo(np.float64).smallest_normal])
    return "kept" if (smallest / 2)[0] > 0 else "flushed to zero"
