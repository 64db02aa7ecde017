"""What every test shares: one TensorFlow, started as the reference starts it, and reproducible properties."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a background job: what tests interrupt would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "ci",
    deadline=None,  # the first example pays for imports and compilation
    derandomize=True,  # a failure seen once is seen by everybody
    max_examples=60,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(  # tests/mutation.py: the first examples of "ci", and none made smaller
    "mutation", settings.get_profile("ci"), max_examples=15, phases=[Phase.explicit, Phase.generate]
)
settings.register_profile("search", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def runtime():
    """`keras_ref.runtime`: the only way in which a test may come by TensorFlow and Keras.

    A test that imported either of them first would take the deterministic settings away from every later test.
    """
    from keras_ref import runtime

    return runtime


@pytest.fixture(scope="session")
def keras(runtime):
    return runtime.keras


@pytest.fixture(autouse=True)
def _default_precision():
    """Keras' precision is global to the process: no test leaves its own behind."""
    yield
    if (runtime := sys.modules.get("keras_ref.runtime")) is not None:
        runtime.set_precision("float32")


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The folder or file in $PARITY_MNIST; tests that ask for it are skipped where there is none."""
    given = os.environ.get("PARITY_MNIST")
    if not given:
        pytest.skip("MNIST is not here: set PARITY_MNIST to a folder with mnist.npz or the four IDX files")
    path = Path(given)
    if not path.exists():
        pytest.skip(f"MNIST is not here: PARITY_MNIST names {path}, which does not exist")
    return path
