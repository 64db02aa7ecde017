"""scikit-learn's MLPClassifier and MLPRegressor as a side: an independent network, trained by its own `partial_fit`.

scikit-learn adds `alpha / (2 * batch) * sum(w**2)`, so that `alpha = 2 * batch * l2` is what Keras calls l2. Its cross-
entropies are Keras'; its squared loss is half of Keras' mean squared error, and is left so: that is what it trains.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor

from parity.config import Experiment
from parity.errors import UsageError
from parity.protocol import Array

ACTIVATIONS = {"linear": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}
LOSSES = {  # loss -> what it is trained by, and the activation that goes with it there
    "MeanSquaredError": (MLPRegressor, "linear"),
    "CategoricalCrossentropy": (MLPClassifier, "softmax"),
    "SparseCategoricalCrossentropy": (MLPClassifier, "softmax"),
    "BinaryCrossentropy": (MLPClassifier, "sigmoid"),
}


class ScikitLearnSide:
    """A side by the protocol of `parity.protocol`."""

    def start(self, experiment: Experiment, weights: Mapping[str, Array]) -> None:
        """Make the estimator; one step on nothing allots its arrays, which then take the weights."""
        if refused := list(_refused(experiment)):
            msg = f"scikit-learn cannot train this experiment: {'; '.join(refused)}"
            raise UsageError(msg)
        self.experiment, self.names = experiment, experiment.layer_names
        kernels = [weights[f"{name}/kernel"] for name in self.names]
        self.estimator = _estimator(experiment)
        units = experiment.layers[-1].units
        self.classes = np.arange(max(units, 2)) if isinstance(self.estimator, MLPClassifier) else None
        labels = np.zeros((1, units), kernels[0].dtype) if self.classes is None else self.classes[:1]
        self._partial_fit(np.zeros((1, len(kernels[0])), kernels[0].dtype), labels)
        self.estimator.coefs_ = kernels
        self.estimator.intercepts_ = [weights[f"{name}/bias"] for name in self.names]
        del self.estimator._optimizer  # noqa: SLF001  # of the step on nothing

    def step(self, x: Array, y: Array) -> dict[str, Any]:
        self._partial_fit(x, y if self.classes is None else self._labels(y))
        return {"loss": float(self.estimator.loss_)}

    def weights(self) -> dict[str, Array]:
        fitted = zip(self.names, self.estimator.coefs_, self.estimator.intercepts_, strict=True)
        return {
            f"{name}/{kind}": array
            for name, kernel, bias in fitted
            for kind, array in (("kernel", kernel), ("bias", bias))
        }

    def environment(self) -> dict[str, str]:
        return {"scikit-learn": sklearn.__version__}

    def _partial_fit(self, x: Array, y: Array) -> None:
        """One update on the whole batch, with the penalty that Keras adds."""
        alpha = 2 * len(x) * float(getattr(self.experiment.layers[0].kernel_regularizer, "l2", 0))
        self.estimator.set_params(alpha=alpha, batch_size=len(x))
        y = y.ravel() if y.shape[-1:] == (1,) else y
        if self.classes is None:
            self.estimator.partial_fit(x, y)
        else:
            self.estimator.partial_fit(x, y, classes=self.classes)

    def _labels(self, y: Array) -> Array:
        """Classes by number."""
        if self.experiment.loss.class_name != "CategoricalCrossentropy":
            return y.ravel()
        if not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
            msg = "scikit-learn takes one class for each example; these targets are not one-hot"
            raise UsageError(msg)
        return y.argmax(axis=1)


def _refused(experiment: Experiment) -> Iterator[str]:
    """What scikit-learn has no word for, each by its key."""
    *hidden, last = experiment.layers
    optimizer, loss = experiment.optimizer, experiment.loss
    if loss.class_name not in LOSSES:
        yield f"loss = {loss.class_name}; it has {', '.join(LOSSES)}"
    elif last.activation != LOSSES[loss.class_name][1]:
        expected = LOSSES[loss.class_name][1]
        yield f"layers.{len(hidden)}.activation = {last.activation}; of {loss.class_name} it is {expected}"
    if last.activation == "softmax" and last.units == 2:
        yield f"layers.{len(hidden)}.units = 2 with softmax; of two classes it has one sigmoid output"
    if loss.class_name == "BinaryCrossentropy" and last.units > 1:
        yield f"layers.{len(hidden)}.units = {last.units} with BinaryCrossentropy; give it 1"
    if getattr(loss, "label_smoothing", 0) or getattr(loss, "from_logits", False):
        yield "loss.label_smoothing and loss.from_logits; it has neither"
    if len({layer.activation for layer in hidden}) > 1:
        yield "layers with different activations; its hidden layers share one"
    if wrong := {layer.activation for layer in hidden} - ACTIVATIONS.keys():
        yield f"activation {', '.join(sorted(wrong))}; it has {', '.join(ACTIVATIONS)}"
    if not all(layer.use_bias for layer in experiment.layers):
        yield "use_bias = false; its layers have biases"
    if any(layer.bias_regularizer or layer.activity_regularizer for layer in experiment.layers):
        yield "bias_regularizer or activity_regularizer; it penalises kernels"
    penalties = {layer.kernel_regularizer for layer in experiment.layers}
    if len(penalties) > 1 or any(getattr(penalty, "l1", 0.0) for penalty in penalties):
        yield "kernel_regularizer; it has one l2 for all kernels"
    if optimizer.class_name == "RMSprop" or getattr(optimizer, "amsgrad", False):
        yield "optimizer; it has SGD, and Adam without amsgrad"


def _estimator(experiment: Experiment) -> Any:
    """The estimator with the experiment's settings, those that it has."""
    make, _ = LOSSES[experiment.loss.class_name]
    *hidden, _ = experiment.layers
    optimizer = experiment.optimizer.model_dump()
    settings = {
        "hidden_layer_sizes": [layer.units for layer in hidden],
        "activation": ACTIVATIONS[hidden[0].activation] if hidden else "identity",
        "solver": optimizer.pop("class_name").lower(),
        "learning_rate_init": optimizer.pop("learning_rate"),
        "nesterovs_momentum": optimizer.pop("nesterov", False),
        "shuffle": False,
        "random_state": 0,
        **optimizer,
    }
    known = inspect.signature(make).parameters
    return make(**{name: value for name, value in settings.items() if name in known})
