"""What both sides are given, and what is taken of what they say."""

from __future__ import annotations

import numpy as np

from parity.config import validate
from parity.protocol import Key
from parity.run import diff

EXPERIMENT = {
    "data": {"source": "regression", "features": 3, "samples": 8},
    "layers": [{"units": 1}],
    "loss": "mse",
    "optimizer": "sgd",
    "batch_size": 4,
    "precision": "float32",
}


def test_a_single_float_takes_the_precision_of_the_run(tmp_path):
    """A loss as Python's float or NumPy's is no mismatch of dtypes; an array of the wrong one is."""
    (tmp_path / "net.py").write_text(
        "import numpy as np\n"
        "class Net:\n"
        "    def start(self, experiment, weights): self.w = weights\n"
        "    def step(self, x, y): return {'loss': np.float64(0.5), 'loss/data': np.array(0.5)}\n"
        "    def weights(self): return self.w\n"
    )
    result = diff(validate(EXPERIMENT), reference="scratch", candidate=f"{tmp_path}/net.py:Net")
    (run,) = result.runs
    assert ("free", Key("loss", "loss")) in run.summaries
    assert run.first is not None
    assert run.first.key == Key("loss", "loss", "data")
    assert np.isnan(run.first.reference)
