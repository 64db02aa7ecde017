"""PyTorch as a side: the `torch.nn.Sequential` of an experiment, trained by `torch.optim`.

Losses and penalties are the formulas that the experiment names in Keras' words; the optimizers are PyTorch's own, and
where they make other choices (`adam.epsilon`, `momentum.rate`, `rmsprop.epsilon`) they are left to make them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from parity.config import Experiment
from parity.errors import UsageError
from parity.protocol import Array

ACTIVATIONS: dict[str, Callable[[], Any]] = {
    "linear": torch.nn.Identity,
    "sigmoid": torch.nn.Sigmoid,
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
    "softmax": lambda: torch.nn.Softmax(dim=-1),
}
MOMENTS = {
    "Adam": {"exp_avg": "momentum", "exp_avg_sq": "velocity"},
    "RMSprop": {"square_avg": "velocity"},
}
functional = torch.nn.functional


class TorchSide:
    """A side by the protocol of `parity.protocol`; layers are taken apart at their activations to be looked into."""

    def start(self, experiment: Experiment, weights: Mapping[str, Array]) -> None:
        if refused := list(_refused(experiment)):
            msg = f"PyTorch as a side has no {'; '.join(refused)}"
            raise UsageError(msg)
        self.experiment, modules = experiment, []
        for layer in experiment.layers:
            kernel = torch.from_numpy(weights[f"{layer.name}/kernel"])
            linear = torch.nn.Linear(*kernel.shape, bias=layer.use_bias, dtype=kernel.dtype)
            linear.weight.data = kernel.T.clone().contiguous()  # (units, inputs)
            if layer.use_bias:
                linear.bias.data = torch.from_numpy(weights[f"{layer.name}/bias"]).clone()
            modules += [linear, ACTIVATIONS[layer.activation]()]
        self.network = torch.nn.Sequential(*modules)
        self.optimizer, self.taken = _optimizer(experiment, self.network.parameters()), 0

    def step(self, x: Array, y: Array) -> dict[str, Any]:
        """One update, with all that autograd knows of it."""
        inside: dict[str, tuple[Any, Any]] = {}
        output = torch.from_numpy(x)
        for index, layer in enumerate(self.experiment.layers):
            z = self.network[2 * index](output)
            output = self.network[2 * index + 1](z)
            inside[str(layer.name)] = (z, output)
            z.retain_grad()
            output.retain_grad()
        data = self._loss(inside[self.experiment.layer_names[-1]], torch.from_numpy(y))
        penalties = dict(self._penalties())
        loss = data + sum(penalties.values())
        self.optimizer.zero_grad()
        loss.backward()
        said = {
            "x": x,
            "y": y,
            "pre_activation": {name: _numbers(z) for name, (z, _) in inside.items()},
            "output": {name: _numbers(a) for name, (_, a) in inside.items()},
            "loss": _numbers(loss),
            "loss/data": _numbers(data),
            "gradient": self._gradients(inside),
        }
        if penalties:
            said["penalty"] = {name: _numbers(penalty) for name, penalty in penalties.items()}
            said["loss/penalty"] = _numbers(sum(penalties.values()))
        self.optimizer.step()
        self.taken += 1
        return said | {"optimizer": self.initial_state()}

    def initial_state(self) -> dict[str, Array]:
        """Counters, and those slots that are Keras' by another name; SGD's momentum here has no learning rate in it."""
        rate = self.experiment.optimizer.learning_rate
        dtype = _numbers(self.network[0].weight).dtype
        slots = {"optimizer/iterations": np.array(self.taken), "optimizer/learning_rate": np.array(rate, dtype)}
        for name, parameter in self._parameters(views=False):
            state = self.optimizer.state.get(parameter, {})
            for theirs, keras in MOMENTS.get(self.experiment.optimizer.class_name, {}).items():
                moment = _numbers(state.get(theirs, torch.zeros_like(parameter)))
                slots[f"{name}/{keras}"] = moment.T if moment.ndim == 2 else moment
        return slots

    def weights(self) -> dict[str, Array]:
        return {name: _numbers(parameter) for name, parameter in self._parameters()}

    def environment(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    def _parameters(self, *, views: bool = True) -> Iterator[tuple[str, Any]]:
        """By Keras' names, and in its layout if views will do."""
        for index, layer in enumerate(self.experiment.layers):
            linear = self.network[2 * index]
            yield f"{layer.name}/kernel", linear.weight.T if views else linear.weight
            if layer.use_bias:
                yield f"{layer.name}/bias", linear.bias

    def _gradients(self, inside: Mapping[str, tuple[Any, Any]]) -> dict[str, Array]:
        found = {}
        for index, layer in enumerate(self.experiment.layers):
            linear, (z, output) = self.network[2 * index], inside[str(layer.name)]
            found[f"{layer.name}/kernel"] = _numbers(linear.weight.grad.T)
            if layer.use_bias:
                found[f"{layer.name}/bias"] = _numbers(linear.bias.grad)
            found[f"{layer.name}/pre_activation"] = _numbers(z.grad)
            if output.grad is not None:  # the logits shortcut goes past the last activation
                found[f"{layer.name}/output"] = _numbers(output.grad)
        return found

    def _loss(self, last: tuple[Any, Any], y: Any) -> Any:
        """The mean over the batch, as Keras takes it; cross-entropies from what goes into softmax or sigmoid."""
        (z, output), loss = last, self.experiment.loss
        match loss.class_name:
            case "MeanSquaredError":
                return functional.mse_loss(output, y)
            case "SumSquaredError":
                return ((y - output) ** 2).sum(dim=-1).mean()
            case "BinaryCrossentropy":
                return functional.binary_cross_entropy_with_logits(z, y)
            case "CategoricalCrossentropy":
                return -(y * functional.log_softmax(z, dim=-1)).sum(dim=-1).mean()
            case _:
                return functional.cross_entropy(z, y.reshape(-1).long())

    def _penalties(self) -> Iterator[tuple[str, Any]]:
        for index, layer in enumerate(self.experiment.layers):
            linear = self.network[2 * index]
            for kind, regularizer in (("kernel", layer.kernel_regularizer), ("bias", layer.bias_regularizer)):
                if regularizer is None:
                    continue
                w = linear.weight if kind == "kernel" else linear.bias
                l1, l2 = (getattr(regularizer, name, 0.0) for name in ("l1", "l2"))
                yield f"{layer.name}/{kind}", l1 * w.abs().sum() + l2 * (w**2).sum()


def _numbers(tensor: Any) -> Array:
    array: Array = tensor.detach().numpy().copy()
    return array


def _optimizer(experiment: Experiment, parameters: Any) -> Any:
    """By PyTorch's names; what its optimizers compute is left to them."""
    settings = experiment.optimizer.model_dump()
    rate, name = settings.pop("learning_rate"), settings.pop("class_name")
    if name == "Adam":
        settings["betas"] = settings.pop("beta_1"), settings.pop("beta_2")
    if name == "RMSprop":
        settings["alpha"] = settings.pop("rho")
    if "epsilon" in settings:
        settings["eps"] = settings.pop("epsilon")
    return getattr(torch.optim, name)(parameters, lr=rate, **settings)


def _refused(experiment: Experiment) -> Iterator[str]:
    """What this side does not translate, each by its key."""
    loss, last = experiment.loss, experiment.layers[-1]
    if unknown := sorted({layer.activation for layer in experiment.layers} - ACTIVATIONS.keys()):
        yield f"activation {', '.join(unknown)} (it has {', '.join(ACTIVATIONS)})"
    if getattr(loss, "label_smoothing", 0):
        yield "loss.label_smoothing"
    wanted = {"BinaryCrossentropy": "sigmoid", "CategoricalCrossentropy": "softmax"}
    wanted["SparseCategoricalCrossentropy"] = "softmax"
    expected = "linear" if getattr(loss, "from_logits", False) else wanted.get(loss.class_name, last.activation)
    if last.activation != expected:
        yield f"{loss.class_name} of a layer with activation {last.activation} (give it {expected})"
    if any(layer.activity_regularizer for layer in experiment.layers):
        yield "activity_regularizer"
