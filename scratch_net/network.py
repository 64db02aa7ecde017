"""A network of dense layers, trained by backpropagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scratch_net.regularizers import penalty_of
from scratch_net.side_by_side import SideBySide


@dataclass
class Loss:
    """The loss of one batch: `whole = data + sum of the penalties`, each penalty under the tensor it falls on."""

    whole: Any
    data: Any
    penalties: dict[str, Any]


@dataclass
class Gradients:
    """dL/dw for every weight w. `data` and `penalty` are the parts that the two parts of the loss give."""

    whole: dict[str, Any]
    data: dict[str, Any]
    penalty: dict[str, Any]


class Network:
    """Layers, a loss, an optimizer and metrics. `train_step` is the whole of training; the rest is what it says."""

    def __init__(self, layers, loss, optimizer, metrics=None, *, from_logits=False):
        self.layers, self.loss, self.optimizer, self.metrics = layers, loss, optimizer, metrics or {}
        # Keras takes any cross-entropy from what goes into a last softmax or sigmoid, whatever from_logits says.
        # After another activation, from_logits means that the network's outputs are the logits.
        self.skips_activation = type(layers[-1].activation).__name__.lower() in loss.takes_logits_of
        self.from_logits = from_logits or self.skips_activation
        self.stacks = True  # whether it can be given a stack of steps, each with weights of its own
        self.differences = None  # an engine of scratch_net.finite_differences in place of backpropagation
        self.regularized_outputs = any(layer.activity_regularizer is not None for layer in layers)
        together = SideBySide(self.weights)
        for layer in layers:
            layer.place(together.weights, together.gradients)
        optimizer.start(self.weights, together)

    @property
    def weights(self):
        """Name -> array of every layer, the very arrays the network computes with."""
        weights = {}
        for layer in self.layers:
            weights |= layer.weights
        return weights

    @property
    def dtype(self):
        return self.layers[0].kernel.dtype

    @property
    def regularizers(self):
        return {name: r for layer in self.layers for name, r in layer.regularizers.items()}

    def train_step(self, x, y):
        """One update on the examples x (batch, inputs) with targets y; returns the loss before the update."""
        x, y = self.batch(x, y)
        output = self.forward(x)
        loss = self.loss_of(y, output)
        gradients = self.gradients(y)
        self.update(gradients)
        return self.reported(loss, y)

    def batch(self, x, y):
        """Examples and targets as the network takes them; every step begins here."""
        return x, y

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def loss_of(self, y, output):
        data = self.data_loss(y, self.layers[-1].z, output)
        penalties = self.penalties()
        return Loss(data + sum(penalties.values()), data, penalties)

    def data_loss(self, y, z, output):
        if self.from_logits:
            return self.loss.value_from_logits(y, z if self.skips_activation else output)
        return self.loss.value(y, output)

    def penalties(self):
        """What each regularizer adds to the loss, outputs first (the order in which Keras adds them up)."""
        penalties = {}
        for layer in self.layers:
            if layer.activity_regularizer is not None:
                penalties[f"{layer.name}/output"] = layer.activity_penalty(layer.a)
        for layer in self.layers:
            for name, r in layer.regularizers.items():
                penalties[name] = penalty_of(r, layer.weights[name], layer.ndim(name))
        return penalties

    def penalty_gradients(self):
        return {
            name: r.gradient(layer.weights[name]) for layer in self.layers for name, r in layer.regularizers.items()
        }

    def gradients(self, y):
        """The gradients of the last forward pass, whole and in parts."""
        if self.differences is not None:
            return self.differences.gradients(self, y)
        penalty = self.penalty_gradients()
        data = self.backpropagate(y)
        from_outputs = {}
        if self.regularized_outputs:  # then the penalty also flows through the layers: by linearity, the rest is its
            data = {name: g.copy() for name, g in data.items()}
            whole = self.backpropagate(y, penalize_outputs=True)
            from_outputs = {name: whole[name] - data[name] for name in whole}
        else:
            whole = data
        whole = self.add_penalties(whole, penalty)
        for name, g in from_outputs.items():
            penalty[name] = penalty[name] + g if name in penalty else g
        return Gradients(whole, data, penalty)

    def add_penalties(self, data, penalty):
        if not penalty:
            return data
        return {name: g + penalty[name] if name in penalty else g for name, g in data.items()}

    def update(self, gradients):
        self.optimizer.update(self.weights, gradients.whole)

    def reported(self, loss, y):  # others may need it
        """The loss that is told of a step, which need not be the one that its gradient belongs to."""
        return loss

    def loss_gradient(self, y, z, output):
        """(da, dz) of the last layer, one of them None: dL/da, or dL/dz where the loss skips the activation."""
        if self.skips_activation:
            return None, self.loss.gradient_from_logits(y, z)
        return (self.loss.gradient_from_logits if self.from_logits else self.loss.gradient)(y, output), None

    def backpropagate(self, y, *, penalize_outputs=False):
        """dL/dw of the data loss (and, if asked, of the penalties on outputs), from the last layer to the first."""
        gradients = {}
        top = self.layers[-1]
        da, dz = self.loss_gradient(y, top.z, top.a)
        for layer in reversed(self.layers):
            if penalize_outputs and layer.activity_regularizer is not None:
                da = layer.penalized(da)
            if da is not None:
                through = layer.backward_activation(da, layer.z, layer.a)
                dz = through if dz is None else dz + through
            layer.da, layer.dz = da, dz
            gradients |= layer.backward_weights(layer.x, dz)
            if layer is not self.layers[0]:
                da, dz = layer.backward_input(dz), None
        return gradients
