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

from parity import switches

PACKAGES = ("keras-parity", "numpy", "keras", "tensorflow", "ml-dtypes")


def environment() -> dict[str, str]:
    """Every fact with its value; `not set` and `not installed` are values as well."""
    facts = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    facts |= {"processor": _processor(), "processors": str(os.cpu_count()), "instructions": _instructions()}
    facts |= {package: _version(package) for package in PACKAGES}
    facts |= _linear_algebra()
    facts["subnormal numbers"] = _subnormals()
    return facts | switches.as_given()


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What is not as it was: name -> then, now. Only what both know; of a list, whether its members are the same."""
    return {
        name: (then[name], now[name])
        for name in then
        if name in now and set(then[name].split(", ")) != set(now[name].split(", "))
    }


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
    kernels, threads = (
        [str(pool.get(fact, "not known")) for pool in pools] for fact in ("architecture", "num_threads")
    )
    facts["blas kernels"] = ", ".join(dict.fromkeys(kernels)) or "not known"  # once, where several are alike
    facts["blas threads"] = ", ".join(dict.fromkeys(threads)) or "not known"
    return facts


def _subnormals() -> str:
    """Whether this process keeps numbers below the smallest normal one; a library may have turned that off."""
    smallest = np.array([np.finfo(np.float64).smallest_normal])
    return "kept" if (smallest / 2)[0] > 0 else "flushed to zero"
