"""TensorFlow, started so that it computes the same numbers every time.

Import this before anything else of TensorFlow or Keras. What cannot be set any more, because the process had already
started TensorFlow, is left as it is and told by `environment`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

# Before TensorFlow starts: oneDNN picks its kernels by processor and fuses layers, so that looking at a value inside a
# layer would change the bits of what comes out.
_STARTED_BY_US = "tensorflow" not in sys.modules
if _STARTED_BY_US:
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@contextlib.contextmanager
def _held_back_stderr() -> Iterator[None]:
    """TensorFlow greets on the error stream from C++, whatever its log level; shown only if starting it fails."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # no error stream
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


# What PyTorch compiles with brings an LLVM of its own, which ends the process where TensorFlow's is there before it.
if _STARTED_BY_US:
    with contextlib.suppress(ImportError):  # few have it
        importlib.import_module("triton")

with _held_back_stderr():
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.config import disable_op_determinism, is_op_determinism_enabled

if keras.backend.backend() != "tensorflow":
    msg = (
        f"the reference is Keras on TensorFlow; this process runs Keras on {keras.backend.backend()!r} (KERAS_BACKEND)"
    )
    raise ImportError(msg)

__all__ = ["ONEDNN", "ONE_THREAD", "environment", "keras", "set_precision", "tf", "undisturbed"]

ONEDNN = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0"
"""Whether TensorFlow may use oneDNN's kernels in this process."""


def _one_thread() -> bool:
    """Sums are split over threads, and a different split rounds differently. False where it is too late to set."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return False
    return True


with _held_back_stderr():
    ONE_THREAD = _one_thread()
    if _STARTED_BY_US:
        tf.config.experimental.enable_op_determinism()
    tf.constant(0)  # the devices are started with the first value, and greet once more


def set_precision(precision: str) -> None:
    """Both of Keras' settings: the default dtype of data and variables, and the policy of layers made from now on."""
    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)


def _set_remapping(to: bool) -> None:
    """Whether a product, its bias and its activation become one kernel; setting it is also what a thread looks up."""
    tf.config.optimizer.set_experimental_options({"remapping": to})


_inside = 0
_guard = threading.Lock()
_as_found: dict[str, Any] = {}


@contextlib.contextmanager
def undisturbed(precision: str) -> Iterator[None]:
    """Keras in that precision, reproducible; afterwards the process is as it was found.

    What is global is put back: Keras' precision, the state of Python's and NumPy's random numbers, and, where somebody
    else had started TensorFlow, its choices about determinism and fusing. Both sides of a comparison may be inside at
    once. oneDNN's fused layers round differently from unfused ones, and a value inside them cannot be looked at: where
    it is too late to switch oneDNN off, layers are not fused.
    """
    global _inside  # noqa: PLW0603  # what is counted is the process
    with _guard:
        if _inside == 0:
            _as_found.update(
                floatx=keras.config.floatx(),
                policy=keras.config.dtype_policy(),
                random=random.getstate(),
                numpy=np.random.get_state(),  # noqa: NPY002  # it is this one that Keras seeds
                determinism=is_op_determinism_enabled(),
                remapping=tf.config.optimizer.get_experimental_options().get("remapping", True),
            )
            tf.config.experimental.enable_op_determinism()
        _inside += 1
        if ONEDNN:
            _set_remapping(False)
        set_precision(precision)
    try:
        yield
    finally:
        with _guard:
            _inside -= 1
            if ONEDNN:
                _set_remapping(_inside == 0 and _as_found["remapping"])
            if _inside == 0:
                keras.config.set_floatx(_as_found["floatx"])
                keras.config.set_dtype_policy(_as_found["policy"])
                random.setstate(_as_found["random"])
                np.random.set_state(_as_found["numpy"])  # noqa: NPY002
                if not _as_found["determinism"]:
                    disable_op_determinism()


def environment() -> dict[str, str]:
    """Versions and settings that bear on the numbers."""
    return {
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "onednn": "on, layers not fused" if ONEDNN else "off",
        "tensorflow threads": "1" if ONE_THREAD else "as found",
    }
