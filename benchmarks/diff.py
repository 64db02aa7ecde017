"""What a whole `parity diff` costs beside plain `model.fit`.

The diff trains both networks, captures everything they compute, replays each operation, and holds every tensor of every
step against its budget, as the command does where no report is asked for that tells more than is printed: of a step in
which nothing is beyond its budget it works out how much of each was used, and no more. `--measures all` works out all
measures of both lanes, as the other reports (html, json, csv, parquet) and `parity.diff` of Python do. No report files.

`fit` trains the same Keras model on the same batches, in the same process and with the same TensorFlow settings (one
thread, oneDNN off, deterministic operations). With `--precision both` the diff is that in float32 and that in float64,
one after the other; `fit` is in float32 alone.

`steady` counts the steps after the first chunk of the diff and after the first epoch of fit: what a further step costs.
`whole` is everything from building the models on, graph tracing included, over all steps. Bars: diff / fit <= 0.5; for
both precisions 1.0.
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median
from typing import Any

EXAMPLES = 2048


def experiments(steps: int, features: int = 784) -> dict[str, Any]:
    from parity.config import Experiment

    def dense(units: int, activation: str, l2: float) -> dict[str, Any]:
        regularizer = {"kernel_regularizer": {"class_name": "L2", "l2": l2}} if l2 else {}
        return {"units": units, "activation": activation, **regularizer}

    def experiment(name: str, top: str, loss: str, optimizer: dict[str, Any], l2: float) -> Experiment:
        return Experiment.model_validate(
            {
                "name": name,
                "data": {
                    "source": "classification",
                    "features": features,
                    "classes": 10,
                    "samples": EXAMPLES,
                    "one_hot": 10,
                    "scale": 4.0,
                },
                "layers": [dense(30, "sigmoid", l2), dense(10, top, l2)],
                "loss": {"class_name": loss},
                "optimizer": optimizer,
                "batch_size": 32,
                "steps": steps,
                "precision": "float32",
            }
        )

    sgd = {"class_name": "SGD", "learning_rate": 0.1}
    adam = {"class_name": "Adam", "learning_rate": 0.001}
    return {
        "SGD, mean squared error": experiment("sgd", "sigmoid", "MeanSquaredError", sgd, 0.0),
        "Adam, cross-entropy, l2": experiment("adam", "softmax", "CategoricalCrossentropy", adam, 1e-4),
    }


def time_diff(experiment: Any, **options: Any) -> tuple[float, float]:
    """Seconds a step: after the first chunk of each precision, and all in all."""
    from parity.run import diff

    marks: dict[str, list[tuple[int, float]]] = {precision: [] for precision in experiment.precisions}
    began = time.perf_counter()
    result = diff(
        experiment,
        progress=lambda precision, done, _: marks[precision].append((done, time.perf_counter())),
        **options,
    )
    ended = time.perf_counter()
    if result.verdict != "PARITY" or result.steps_compared != experiment.steps:
        raise RuntimeError(f"{result.verdict}: compared {result.steps_compared} steps of {experiment.steps}")
    ends = ((each[0], each[-1]) for each in marks.values())
    steady = sum((end - start) / (last - first) for (first, start), (last, end) in ends)
    return steady, (ended - began) / experiment.steps


def time_fit(experiment: Any) -> tuple[float, float]:
    """Seconds a step: after the first epoch, and all in all."""
    from keras_ref.build import build
    from keras_ref.runtime import keras
    from parity.data import load_dataset

    marks: list[float] = []
    began = time.perf_counter()
    dataset = load_dataset(experiment).astype("float32")
    model = build(experiment, dataset.x.shape[1], "float32")
    epoch_end = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: marks.append(time.perf_counter()))
    epochs = experiment.steps // (EXAMPLES // 32)
    model.fit(dataset.x, dataset.y, batch_size=32, epochs=epochs, shuffle=False, verbose=0, callbacks=[epoch_end])
    steps = EXAMPLES // 32
    return (marks[-1] - marks[0]) / (steps * (epochs - 1)), (time.perf_counter() - began) / (steps * epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1984, help="steps of each run, a multiple of 64")
    parser.add_argument("--features", type=int, default=784, help="inputs of the network")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--lane", choices=["local", "both"], default="both", help="the free lane alone judges nothing")
    parser.add_argument("--precision", choices=["float32", "float64", "both"], default="float32", help="of the diff")
    parser.add_argument("--measures", choices=["shown", "all"], default="shown")
    arguments = parser.parse_args()
    if arguments.steps % 64 or arguments.steps < 128:
        parser.error("--steps: expected a multiple of 64 from 128 on, so that fit runs whole epochs")
    lanes = ("local", "free") if arguments.lane == "both" else ("local",)

    precision = "both precisions" if arguments.precision == "both" else arguments.precision
    sizes, runs = f"{arguments.features}-30-10, batch 32", f"medians of {arguments.repeats} runs"
    print(f"{sizes}, {precision}, {arguments.steps} steps, {runs}, ms a step")
    print(f"{'':26}{'fit':>8}{'diff':>8}{'ratio':>8}    {'fit':>8}{'diff':>8}{'ratio':>8}")
    print(f"{'':26}{'------- steady --------':>24}    {'-------- whole --------':>24}")
    for name, experiment in experiments(arguments.steps, arguments.features).items():
        fits, diffs = [], []
        for _ in range(arguments.repeats):
            fits.append(time_fit(experiment))
            asked = experiment.model_copy(update={"precision": arguments.precision})
            diffs.append(time_diff(asked, lanes=lanes, measures=arguments.measures))
        row = ""
        for fit, diff in zip(zip(*fits, strict=True), zip(*diffs, strict=True), strict=True):
            a, b = median(fit) * 1e3, median(diff) * 1e3
            row += f"{a:8.3f}{b:8.3f}{b / a:8.2f}    "
        print(f"{name:26}{row.rstrip()}")
        ratios = [diff[0] / fit[0] for fit, diff in zip(fits, diffs, strict=True)]
        load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
        print(f"  steady ratio of each turn {min(ratios):.2f} to {max(ratios):.2f}; {load}", flush=True)


if __name__ == "__main__":
    main()
