"""Mistakes written into the source of `scratch_net`: text for text, in a copy, with no switch of the catalogue's in it.

Each has the effect of a choice of the catalogue or of a defect of `scratch_net.defects`, named as there. The gate must
fail on every one of them, from the committed baselines alone: by what it computes, not by a crash. `python -m tests.parity.gate.mutations` prints the table.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
import time
from pathlib import Path

from parity.gate.suite import Gate, State, jobs

ROOT = Path(__file__).parents[3]
Edit = tuple[str, str, str]  # file, text, text in its place

A, D, I, L, M, N, O, R, S, T = (
    f"{name}.py"
    for name in [
        "activations",
        "layers",
        "initializers",
        "losses",
        "metrics",
        "network",
        "optimizers",
        "regularizers",
        "adapter",
        "record",
    ]
)
NP = '__import__("numpy")'
ALONE: Edit = (N, "self.stacks = True", "self.stacks = False")  # written for one step at a time

_SLOPE = "slope = np.subtract(number(1, a.dtype), a)\n        slope *= a"
_MSE, _MSE_GRADIENT = "mean(mean((y - p) ** 2))", "(p - y) * (2 / (p.shape[-2] * p.shape[-1]))"
_LOG_SUM = "mean(sums(self.targets(y) * minus_log_softmax(z)))"
_KERNEL = 'product(x.mT, dz, self._buffer("kernel gradient", self.kernel.shape))'
_UPDATE = "        self.optimizer.update(self.weights, gradients.whole)"
_REPORTED = '        """The loss that is told of a step, which need not be the one that its gradient belongs to."""\n        return loss'
_LOOP = "            for name, w in weights.items():\n                self._take"
EACH: Edit = (O, "if together is not None and", "if False and")  # each weight by itself
_PENALTIES = "        for layer in self.layers:\n            for name, r in layer.regularizers.items()"
_PENALTY_GRADIENTS = "r.gradient(layer.weights[name]) for layer in self.layers for name"
_EVERY_KERNEL = "for layer in layers:\n            layer.kernel_regularizer = layer.kernel_regularizer or layers[0].kernel_regularizer or layers[-1].kernel_regularizer"
_FORWARD = "self.a = self.activation.forward(self.z)"
_BACK = "product(dz, self.kernel.mT,"
_BIAS = "product(ones(dz.shape[-2], dz.dtype), dz, bias_gradient)"
_SQUARE = "self.kernel.shape[-1] == self.kernel.shape[-2]"


def mse(value: str, gradient: str | None = None) -> list[Edit]:
    return [(L, _MSE, value)] + ([(L, _MSE_GRADIENT, gradient)] if gradient else [])


def kernel(instead: str) -> list[Edit]:
    """Another gradient in place of `kernel`, the right one."""
    return [(D, _KERNEL, instead.replace("kernel", f"({_KERNEL})"))]


def without(skipped: str) -> list[Edit]:
    """No update where that is true of a weight."""
    loop, taken = _LOOP.split("\n")
    return [EACH, (O, _LOOP, f"{loop}\n                if {skipped}:\n                    continue\n{taken}")]


def reported(words: str) -> list[Edit]:
    return [(N, _REPORTED, f"        return {words}")]


def update(lines: str) -> list[Edit]:
    return [(N, _UPDATE, "\n".join(f"        {line}" for line in lines.split("\n")))]


def through(arguments: str) -> list[Edit]:
    return [(N, "backward_activation(da, layer.z, layer.a)", f"backward_activation(da, {arguments})")]


def l2(penalty: str, gradient: str) -> list[Edit]:
    return [
        (R, "return self.constant(self.l2, w.dtype) * np.vdot(w, w)", f"return {penalty}"),
        (R, "return (2 * self.constant(self.l2, w.dtype)) * w", f"return {gradient}"),
    ]


def l1(penalty: str, gradient: str) -> list[Edit]:
    return [
        (R, "return self.constant(self.l1, w.dtype) * np.abs(w).sum()", f"return {penalty}"),
        (R, "return self.constant(self.l1, w.dtype) * np.sign(w)", f"return {gradient}"),
    ]


def of_layers(layers: str) -> list[Edit]:
    """The penalties of these layers alone."""
    return [(N, text, text.replace("self.layers", layers)) for text in (_PENALTIES, _PENALTY_GRADIENTS)]


def of_outputs(penalty: str, gradient: str) -> list[Edit]:
    """What penalties of outputs are multiplied by."""
    return [
        (
            D,
            "(self.activity_regularizer, a, 2) / a.shape[-2]",
            f"(self.activity_regularizer, a, 2) / a.shape[-2]{penalty}",
        ),
        (
            D,
            "activity_regularizer.gradient(a) / a.shape[-2]",
            f"activity_regularizer.gradient(a) / a.shape[-2]{gradient}",
        ),
    ]


def reported_without(penalties: str) -> list[Edit]:
    """The loss without the penalties of which that is true."""
    left = f"{{k: 0 * r if {penalties} else r for k, r in loss.penalties.items()}}"
    return reported(f"Loss(loss.data + sum({left}.values()), loss.data, {left})")


def hidden(layers: str) -> list[Edit]:
    """No derivative in these layers."""
    call = "layer.backward_activation(da, layer.z, layer.a)"
    return [(N, f"through = {call}", f"through = da if layer in {layers} else {call}")]


def per_tensor(order: str) -> list[Edit]:
    """Adam's counter, weight by weight in this order of `weights.items()`."""
    return [
        *CONVENTIONS["adam.step=per_tensor"],
        (
            O,
            "            for name, w in weights.items():\n                self._take",
            f"            for name, w in {order}:\n                self._take",
        ),
    ]


LAM, LAM_1 = "self.constant(self.l2, w.dtype)", "self.constant(self.l1, w.dtype)"

CONVENTIONS: dict[str, list[Edit]] = {
    "init.normal=plain": [
        (I, "return random.truncated_normal(shape, 0.0, stddev)", "return random.normal(shape, 0.0, stddev)")
    ],
    "init.uniform=stddev": [(I, "math.sqrt(3 * variance(mode, shape))", "math.sqrt(variance(mode, shape))")],
    "init.initializers=pytorch": [
        (S, "asked = conventions.asked_for(choices,", "asked = conventions.asked_for({'init.initializers': 'pytorch'},")
    ],
    "init.seed=shared": [(S, "conventions.seeds(choices,", "conventions.seeds({'init.seed': 'shared'},")],
    "init.fan=swapped": [(I, "return (shape[0], shape[-1])", "return (shape[-1], shape[0])")],
    "precision.compute=float32": [
        (
            D,
            "z = product(x, self.kernel)",
            "z = product(x.astype('f4'), self.kernel.astype('f4')).astype(x.dtype)",
        ),
    ],
    "precision.inputs=float32": [(N, "        return x, y", "        return x.astype('f4').astype(x.dtype), y")],
    "data.partial_batch=full_size": mse(
        "((y - p) ** 2).mean(axis=-1).sum(axis=-1) / max(p.shape[-2], 8)",
        "(p - y) * (2 / (max(p.shape[-2], 8) * p.shape[-1]))",
    ),
    "data.partial_batch=gradient_full_size": [
        (L, _MSE_GRADIENT, "(p - y) * (2 / (max(p.shape[-2], 8) * p.shape[-1]))")
    ],
    "data.partial_batch=skipped": update(
        "if self.layers[0].x.shape[-2] != 6:\n    self.optimizer.update(self.weights, gradients.whole)"
    ),
    "data.labels=shifted": [(N, "        return x, y", f"        return x, {NP}.roll(y, 1, axis=-1)")],
    "data.labels=shifted_down": [(N, "        return x, y", f"        return x, {NP}.roll(y, -1, axis=-1)")],
    "data.scale=twice": [(N, "        return x, y", "        return x / 2, y")],
    "data.scale=missing": [(N, "        return x, y", "        return x * 2, y")],
    "forward.kernel=transposed": [
        (D, "product(x, self.kernel)", f"product(x, self.kernel.mT if {_SQUARE} else self.kernel)")
    ],
    "forward.softmax=unshifted": [(A, "shifted = z - np.maximum.reduce(z, axis=-1, keepdims=True)", "shifted = z")],
    "gradient.derivative=at_output": [(A, _SLOPE, "slope = self.forward(a) * (1 - self.forward(a))")],
    "gradient.derivative=of_input": [(A, _SLOPE, "slope = z * (1 - z)")],
    "gradient.derivative=hidden_at_output": through(
        "*((layer.z, layer.a) if layer is top else (layer.a, layer.activation.forward(layer.a)))"
    ),
    "gradient.derivative=hidden_of_input": through("layer.z, layer.a if layer is top else layer.z"),
    "gradient.hidden_activation=missing": [(A, "da * (1 - a * a)", "da")],
    "gradient.hidden_activation=missing_in_first": hidden("self.layers[:-1][:1]"),
    "gradient.hidden_activation=missing_in_second": hidden("self.layers[1:-1][:1]"),
    "gradient.hidden_activation=missing_in_third": hidden("self.layers[2:3]"),
    "gradient.output_activation=missing": [(A, "(da - (da * a).sum(axis=-1, keepdims=True)) * a", "da")],
    "gradient.softmax=diagonal": [(A, "(da - (da * a).sum(axis=-1, keepdims=True)) * a", "da * (a * (1 - a))")],
    "gradient.shortcut=twice": [(L, "        return dz\n", "        return dz * softmax(z) * (1 - softmax(z))\n")],
    "gradient.shortcut=diagonal": [(A, "(da - (da * a).sum(axis=-1, keepdims=True)) * a", "da * a * (1 - a)")],
    "gradient.relu_at_zero=one": [(A, "da * (z > 0)", "da * (z >= 0)")],
    "gradient.index=shifted": [(D, "product(x.mT, dz,", "product(np.roll(x, 1, axis=-2).mT, dz,")],
    "gradient.batch=sum": [(L, _MSE_GRADIENT, "(p - y) * (2 / p.shape[-1])")],
    "gradient.bias=mean": [(D, _BIAS, "dz.mean(axis=-2)")],
    "gradient.bias=not_averaged": [(D, _BIAS, "dz.sum(axis=-2) * dz.shape[-2]")],
    "gradient.bias=missing": [(D, _BIAS, "0 * dz.sum(axis=-2)")],
    "gradient.bias=scalar": [(D, _BIAS, "0 * dz.sum(axis=-2) + dz.sum(axis=(-1, -2))[..., None]")],
    "gradient.kernel=mean": kernel("kernel / x.shape[-2]"),
    "gradient.transposed=wrong": [(D, _BACK, f"product(dz, self.kernel if {_SQUARE} else self.kernel.mT,")],
    "gradient.weights=after_update": [(D, _BACK, "product(dz, (self.kernel - 0.1 * (self.x.mT @ dz)).mT,")],
    "loss.smoothing=off_class": [
        (L, "self.label_smoothing / y.shape[-1] if", "self.label_smoothing * (1 - y) / (y.shape[-1] - 1) if")
    ],
    "loss.smoothing=ignored": [(L, " * (1 - self.label_smoothing) + self.label_smoothing / y.shape[-1] if", " if")],
    "loss.smoothing=scaled": [(L, " + self.label_smoothing / y.shape[-1] if", " if")],
    "loss.clip=1e-8": [(L, "EPSILON = 1e-7", "EPSILON = 1e-8")],
    "loss.clip=1e-12": [(L, "EPSILON = 1e-7", "EPSILON = 1e-12")],
    "loss.clip=1e-15": [(L, "EPSILON = 1e-7", "EPSILON = 1e-15")],
    "loss.clip=added": [(L, "return np.clip(p, EPSILON, 1 - EPSILON)", "return p + EPSILON")],
    "loss.clip=none": [(L, "return np.clip(p, EPSILON, 1 - EPSILON)", "return p")],
    "loss.soft_labels=fused": [(L, "softmax(z) * np.add.reduce(y, axis=-1, keepdims=True)", "softmax(z) * 1")],
    "loss.probabilities=as_given": [
        (L, "q = self.kept(p / p.sum(axis=-1, keepdims=True))", "q = self.kept(p)"),
        (L, "total = p.sum(axis=-1, keepdims=True)", "total = np.ones_like(p[..., :1])"),
    ],
    "loss.softmax=twice": [
        (N, "(y, z if self.skips_activation else output)", "(y, output)"),
        (
            N,
            "return None, self.loss.gradient_from_logits(y, z)",
            "return self.loss.gradient_from_logits(y, output), None",
        ),
    ],
    "loss.input=probabilities": [(N, "lower() in loss.takes_logits_of", "lower() == ''")],
    **{
        f"loss.log=plus_{eps}": [(L, _LOG_SUM, f"-mean((self.targets(y) * np.log(softmax(z) + {eps})).sum(axis=-1))")]
        for eps in ("1e-7", "1e-8", "1e-9", "1e-10", "1e-12")
    },
    **{
        f"loss.log=clip_{eps}": [
            (L, _LOG_SUM, f"-mean((self.targets(y) * np.log(softmax(z).clip({eps}, 1 - {eps}))).sum(axis=-1))")
        ]
        for eps in ("1e-7", "1e-8", "1e-12", "1e-15")
    },
    "loss.log=plain": [(L, _LOG_SUM, "-mean((self.targets(y) * np.log(softmax(z))).sum(axis=-1))")],
    "loss.pairs=all_pairs": mse("mean(mean((y - (p.mT if p.shape[-1] == 1 else p)) ** 2))"),
    "loss.outputs=mean": [
        (L, "mean(sums((y - p) ** 2))", _MSE),
        (L, "(p - y) * (2 / p.shape[-2])", _MSE_GRADIENT),
    ],
    "loss.outputs=sum": mse("mean(((y - p) ** 2).sum(axis=-1))", "(p - y) * (2 / p.shape[-2])"),
    "loss.batch=sum": mse("((y - p) ** 2).mean(axis=-1).sum(axis=-1)", "(p - y) * (2 / p.shape[-1])"),
    "loss.batch=mean_twice": mse(f"{_MSE} / p.shape[-2]", f"{_MSE_GRADIENT} / p.shape[-2]"),
    "loss.factor=half": mse(f"{_MSE} / 2", f"{_MSE_GRADIENT} / 2"),
    "loss.factor=double": mse(f"{_MSE} * 2", f"{_MSE_GRADIENT} * 2"),
    "loss.reported=half": reported("Loss(loss.whole / 2, loss.data / 2, loss.penalties)"),
    "loss.reported=double": reported("Loss(loss.whole * 2, loss.data * 2, loss.penalties)"),
    "loss.reported=sum_outputs": reported("Loss(loss.whole * 4, loss.data * 4, loss.penalties)"),
    "loss.reported=mean_outputs": reported("Loss(loss.whole / 4, loss.data / 4, loss.penalties)"),
    "loss.reported=sum_batch": reported("Loss(loss.whole * 8, loss.data * 8, loss.penalties)"),
    "loss.reported=softmax_twice": [(N, "(y, z if self.skips_activation else output)", "(y, output)")],
    "loss.reported=all_pairs": mse("mean(mean((y - (p.mT if p.shape[-1] == 1 else p)) ** 2))"),
    "l2.constant=exact": [
        (
            R,
            "def __init__(self, l2, constant=keras_constant)",
            "def __init__(self, l2, constant=lambda v, t: t.type(v))",
        )
    ],
    "l2.scale=over_batch": l2(f"{LAM} * np.vdot(w, w) / 8", f"2 * {LAM} * w / 8"),
    "l2.scale=over_dataset": l2(f"{LAM} * np.vdot(w, w) / 22", f"2 * {LAM} * w / 22"),
    "l2.layers=not_first": of_layers("self.layers[1:]"),
    "l2.layers=not_second": of_layers("(*self.layers[:1], *self.layers[1:-1][1:], *self.layers[-1:])"),
    "l2.layers=not_last": of_layers("self.layers[:-1]"),
    "l2.layers=all": [
        (N, "self.stacks = True", f"{_EVERY_KERNEL}\n        self.stacks = True"),
    ],
    "l2.layers=only_first": of_layers("self.layers[:1]"),
    "l2.layers=only_last": of_layers("self.layers[-1:]"),
    "l1.constant=exact": [
        (
            R,
            "def __init__(self, l1, constant=keras_constant)",
            "def __init__(self, l1, constant=lambda v, t: t.type(v))",
        )
    ],
    "l1.scale=over_batch": l1(f"{LAM_1} * np.abs(w).sum() / 8", f"{LAM_1} * np.sign(w) / 8"),
    "l1.scale=over_dataset": l1(f"{LAM_1} * np.abs(w).sum() / 22", f"{LAM_1} * np.sign(w) / 22"),
    "l1.penalty=half": l1(f"{LAM_1} * np.abs(w).sum() / 2", f"{LAM_1} * np.sign(w) / 2"),
    "l1.penalty=absent": l1("0 * np.abs(w).sum()", "0 * w"),
    "l1.gradient=absent": l1(f"{LAM_1} * np.abs(w).sum()", "0 * w"),
    "l1.reported=absent": reported_without("'L1' in type(self.regularizers.get(k)).__name__"),
    "bias.penalty=absent": [(D, "if self.bias_regularizer is not None and", "if False and")],
    "bias.penalty=in_loss": [
        (
            N,
            "r.gradient(layer.weights[name]) for layer",
            "r.gradient(layer.weights[name]) * ('b' not in name[-4:]) for layer",
        )
    ],
    "bias.penalty=in_gradient": reported_without("k.endswith('bias')"),
    "activity.penalty=half": of_outputs(" / 2", " / 2"),
    "activity.penalty=absent": of_outputs(" * 0", " * 0"),
    "activity.gradient=absent": of_outputs("", " * 0"),
    "activity.reported=absent": reported_without("k.endswith('output')"),
    "l2.bias=included": [
        (D, "if self.bias_regularizer is not None and", "if self.kernel_regularizer is not None and"),
        (D, "named[self.bias_name] = self.bias_regularizer", "named[self.bias_name] = self.kernel_regularizer"),
    ],
    "l2.bias=in_gradient": [
        (
            N,
            f"{_PENALTY_GRADIENTS}, r in layer.regularizers.items()\n        }}",
            f"{_PENALTY_GRADIENTS}, r in layer.regularizers.items()\n        }}"
            " | {l.bias_name: l.kernel_regularizer.gradient(l.bias) for l in self.layers if l.kernel_regularizer}",
        ),
    ],
    "l2.reported=absent": reported("Loss(loss.data, loss.data, {name: 0 * r for name, r in loss.penalties.items()})"),
    "l2.reported=half": reported(
        "Loss(loss.data + sum(loss.penalties.values()) / 2, loss.data, {k: r / 2 for k, r in loss.penalties.items()})"
    ),
    "l2.penalty=absent": l2("0 * np.vdot(w, w)", "0 * w"),
    "l2.penalty=half": l2(f"{LAM} * np.vdot(w, w) / 2", f"{LAM} * w"),
    "l2.gradient=half": l2(f"{LAM} * np.vdot(w, w)", f"{LAM} * w"),
    "l2.gradient=double": l2(f"{LAM} * np.vdot(w, w)", f"4 * {LAM} * w"),
    "l2.gradient=over_batch": l2(f"{LAM} * np.vdot(w, w)", f"2 * {LAM} / 8 * w"),
    "l2.gradient=over_dataset": l2(f"{LAM} * np.vdot(w, w)", f"2 * {LAM} / 100 * w"),
    "l2.gradient=absent": l2(f"{LAM} * np.vdot(w, w)", "0 * w"),
    "l2.decay=decoupled": [
        (N, "g + penalty[name] if name in penalty else g", "g"),
        (
            N,
            _UPDATE,
            _UPDATE
            + "\n        for name, r in self.regularizers.items():\n            w = self.weights[name]\n            w -= 0.05 * r.gradient(w)",
        ),
    ],
    "l2.decay=unscaled": [
        (N, "g + penalty[name] if name in penalty else g", "g"),
        (
            N,
            _UPDATE,
            _UPDATE
            + "\n        for name, r in self.regularizers.items():\n            w = self.weights[name]\n            w -= r.gradient(w)",
        ),
    ],
    "activity.batch=sum": [
        (D, "penalty_of(self.activity_regularizer, a, 2) / a.shape[-2]", "penalty_of(self.activity_regularizer, a, 2)"),
        (D, "self.activity_regularizer.gradient(a) / a.shape[-2]", "self.activity_regularizer.gradient(a)"),
    ],
    "optimizer.constants=exact": [(O, "staticmethod(keras_constant)", "staticmethod(lambda v, t: t.type(v))")],
    "adam.epsilon=textbook": [
        (
            O,
            "w -= (m * alpha) / self.denominator(v)",
            "of_m, of_v = (self.of_step(lambda t, i=i: self.corrections(w.dtype.type(t))[i], w) for i in (0, 1))\n"
            "        w -= rate * (m / of_m) / self.denominator(v / of_v)",
        ),
    ],
    "adam.epsilon=inside": [
        (O, "return np.sqrt(v) + normal(self.epsilon, v.dtype)", "return np.sqrt(v + self.epsilon)")
    ],
    "adam.epsilon=textbook_inside": [
        (
            O,
            "self.denominator(v)",
            "np.sqrt(v + self.epsilon * self.of_step(lambda t: self.corrections(w.dtype.type(t))[1], w))",
        )
    ],
    "adam.epsilon_value=1e-8": [(O, "return np.sqrt(v) + normal(self.epsilon, v.dtype)", "return np.sqrt(v) + 1e-8")],
    "adam.epsilon_scale=absent": [(O, "return np.sqrt(v) + normal(self.epsilon, v.dtype)", "return np.sqrt(v)")],
    "adam.betas=exchanged": [
        (O, "(g - m) * (1 - self.beta_1)", "(g - m) * (1 - self.beta_2)"),
        (O, "(g * g - v) * (1 - self.beta_2)", "(g * g - v) * (1 - self.beta_1)"),
        (O, "return one - b1**t, one - b2**t", "return one - b2**t, one - b1**t"),
    ],
    "adam.bias_correction=missing": [(O, "return rate * np.sqrt(of_v) / of_m", "return rate")],
    "adam.bias_correction=no_power": [(O, "return one - b1**t, one - b2**t", "return one - b1, one - b2")],
    "adam.step=ahead": [
        (O, "return function(self.iterations + 1)", "return function(self.iterations + 2)"),
        (O, "function(t + 1) for t", "function(t + 2) for t"),
    ],
    "adam.step=per_tensor": [
        EACH,
        (O, "        self.iterations = self.iterations + 1", "                self.iterations = self.iterations + 1"),
    ],
    "momentum.factor=ignored": [(O, "w += m * mu - g if self.nesterov else m", "w -= g")],
    "momentum.dampening=dampened": [(O, "        m -= g\n", "        m -= g * (1 - mu)\n")],
    "momentum.nesterov=on": [(O, "w += m * mu - g if self.nesterov else m", "w += m * mu - g")],
    "momentum.nesterov=off": [(O, "w += m * mu - g if self.nesterov else m", "w += m")],
    "momentum.nesterov=twice": [(O, "m * mu - g if", "m * mu * mu - (1 + mu) * g if")],
    "momentum.nesterov=lookahead": [
        (
            T,
            "    output = network.forward(x)",
            "    ahead = {k: 0.9 * network.optimizer.slots.get(f'{k}/momentum', 0 * w) for k, w in network.weights.items()}\n"
            "    for name, w in network.weights.items():\n        w += ahead[name]\n    output = network.forward(x)",
        ),
        (
            T,
            "    network.update(gradients)",
            "    for name, w in network.weights.items():\n        w -= ahead[name]\n    network.update(gradients)",
        ),
    ],
    "momentum.rate=outside": [
        (O, "        g = g * rate\n        m *= mu", "        m *= mu"),
        (O, "w += m * mu - g if self.nesterov else m", "w += rate * (m * mu - g if self.nesterov else m)"),
    ],
    "rmsprop.epsilon=outside": [
        (O, "return np.sqrt(v + normal(self.epsilon, v.dtype))", "return np.sqrt(v) + self.epsilon")
    ],
    "rmsprop.epsilon_value=1e-8": [
        (O, "return np.sqrt(v + normal(self.epsilon, v.dtype))", "return np.sqrt(v + 1e-8)")
    ],
    "rmsprop.epsilon_scale=absent": [(O, "return np.sqrt(v + normal(self.epsilon, v.dtype))", "return np.sqrt(v)")],
    "rmsprop.rho=0.99": [(O, "v[...] = self.rho * v + (1 - self.rho)", "v[...] = 0.99 * v + 0.01")],
    "rmsprop.momentum=ignored": [(O, "            increment = m\n", "")],
    "rmsprop.centered=flipped": [(O, "variance = v - average * average", "variance = v")],
    "learning_rate.scale=over_batch": [
        (O, "np.array(self.learning_rate, w.dtype)", "np.array(self.learning_rate / 8, w.dtype)")
    ],
    "learning_rate.scale=half": [
        (O, "np.array(self.learning_rate, w.dtype)", "np.array(self.learning_rate / 2, w.dtype)")
    ],
    "learning_rate.scale=double": [
        (O, "np.array(self.learning_rate, w.dtype)", "np.array(self.learning_rate * 2, w.dtype)")
    ],
    "update.layers=not_first": without("name in list(weights)[:2]"),
    "update.layers=not_second": without("name in list(weights)[2:4]"),
    "update.layers=not_third": without("name in list(weights)[4:6]"),
    "update.layers=not_last": without("name in list(weights)[-2:]"),
    "update.layers=only_first": without("name not in list(weights)[:2]"),
    "update.layers=only_last": without("name not in list(weights)[-2:]"),
    "update.layers=no_biases": without("name.endswith('bias')"),
    "update.biases=not_first": without("name in list(weights)[1:2]"),
    "update.biases=not_second": without("name in list(weights)[3:4]"),
    "update.biases=not_third": without("name in list(weights)[5:6]"),
    "update.biases=not_last": without("name in list(weights)[-1:]"),
    "update.each=example": [
        (
            T,
            "    network.update(gradients)",
            "    for b in range(len(x)):\n        network.forward(x[b : b + 1])\n"
            "        network.update(network.gradients(y[b : b + 1]))\n    network.forward(x)\n    network.gradients(y)",
        ),
    ],
    "report.when=after_update": [
        (T, "    loss = network.reported(loss, y)", "    loss = network.loss_of(y, network.forward(x))")
    ],
    "report.mean=running": [
        *reported(
            "(setattr(self, 'seen', [*getattr(self, 'seen', []), loss.whole]),"
            " Loss(sum(self.seen) / len(self.seen), loss.data, loss.penalties))[1]"
        ),
        ALONE,
    ],
    "report.accuracy=binary": [
        (M, "right = p.argmax(axis=-1) == y.argmax(axis=-1)", "right = ((p > 0.5) == (y > 0.5)).mean(axis=-1)")
    ],
}

_BIASES_LAST = "sorted(weights.items(), key=lambda one: one[0].endswith('bias'))"
CONVENTIONS |= {
    "adam.step=per_tensor_kernels_first": per_tensor(_BIASES_LAST),
    "adam.step=per_tensor_backwards": per_tensor("reversed(list(weights.items()))"),
}

NO_MISTAKES = {
    "gradient.engine=forward": "another way to the gradient, no mistake: the selftest does not plant it",
    "gradient.engine=central": "the same",
    "gradient.engine=per_example": "the same",
}
"""Choices of the catalogue that are no single mistakes."""

_AFTER = "{}\nfor name, w in self.weights.items():\n    {}"
_WHOLE = "self.optimizer.update(self.weights, gradients.whole)"

NUMBERS: dict[str, list[Edit]] = {
    "loss.factor=8/7": mse(
        "((y - p) ** 2).mean(axis=-1).sum(axis=-1) / max(p.shape[-2] - 1, 1)",
        "(p - y) * (2 / (max(p.shape[-2] - 1, 1) * p.shape[-1]))",
    ),
    "loss.factor=1.4426950408889634": [
        (
            L,
            _LOG_SUM,
            f"{_LOG_SUM} / np.log(2)",
        )
    ],
    "l2.gradient=-1": [(N, _PENALTY_GRADIENTS, f"-{_PENALTY_GRADIENTS}")],
    "momentum.factor=1.01": [
        (O, "mu = self.constant(self.momentum, w.dtype)", "mu = self.constant(1.01 * self.momentum, w.dtype)")
    ],
    "sgd.added_momentum=0.9": [
        (
            O,
            "self.momentum, self.nesterov = momentum, nesterov",
            "self.momentum, self.nesterov = momentum or 0.9, nesterov",
        )
    ],
    "rmsprop.added_momentum=0.9": [
        (
            O,
            "self.rho, self.momentum, self.epsilon, self.centered = rho, momentum,",
            "self.rho, self.momentum, self.epsilon, self.centered = rho, 0.9,",
        )
    ],
    "learning_rate.decay=0.01": [
        (
            O,
            "np.array(self.learning_rate, w.dtype)",
            "np.array(self.learning_rate / (1 + 0.01 * self.iterations), w.dtype)",
        ),
        ALONE,
    ],
    "weight_decay.coupled=0.001": update(
        _WHOLE.replace("gradients.whole", "{k: g + 0.001 * self.weights[k] for k, g in gradients.whole.items()}")
    ),
    "weight_decay.decoupled=0.01": update(_AFTER.format(_WHOLE, "w -= 0.01 * self.optimizer.learning_rate * w")),
    "l2.added=0.001": [
        (N, "self.optimizer, self.metrics = layers,", "self.optimizer, self.metrics = penalized(layers),"),
        (
            N,
            "@dataclass\nclass Loss:",
            "def penalized(layers):\n    from scratch_net.regularizers import L2\n    for layer in layers:\n"
            "        layer.kernel_regularizer = layer.kernel_regularizer or L2(0.001)\n    return layers\n\n\n"
            "@dataclass\nclass Loss:",
        ),
    ],
    "adam.gradient_share=0.5": [
        (O, "(g - m) * (1 - self.beta_1)", "(g - m) * 0.05"),
        (O, "self.constant(self.beta_1, t.dtype)", "self.constant(0.95, t.dtype)"),
    ],
    "adam.square_share=10": [
        (O, "(g * g - v) * (1 - self.beta_2)", "(g * g - v) * 0.01"),
        (O, "self.constant(self.beta_2, t.dtype)", "self.constant(0.99, t.dtype)"),
    ],
    "adam.epsilon_scale=100": [
        (
            O,
            "return np.sqrt(v) + normal(self.epsilon, v.dtype)",
            "return np.sqrt(v) + 100 * normal(self.epsilon, v.dtype)",
        )
    ],
    "rmsprop.square_share=0.5": [(O, "v[...] = self.rho * v + (1 - self.rho)", "v[...] = 0.95 * v + 0.05")],
    "rmsprop.epsilon_scale=100": [
        (O, "np.sqrt(v + normal(self.epsilon, v.dtype))", "np.sqrt(v + 100 * normal(self.epsilon, v.dtype))")
    ],
}
"""Choices that are numbers: one less than the batch, logarithms to the base 2, a sign, an optimizer's settings."""

DEFECTS: dict[str, list[Edit]] = {
    "hard_sigmoid": [(A, "return sigmoid(z)", "return np.clip(0.2 * z + 0.5, 0, 1)")],
    "leaky_relu": [(A, "return np.maximum(z, 0)", "return np.where(z > 0, z, 0.01 * z)")],
    "scaled_tanh": [(A, "return np.tanh(z)", "return 1.7159 * np.tanh(2 / 3 * z)")],
    "bias_twice": [
        (D, "z += self.bias if self.bias.ndim == 1 else self.bias[..., None, :]", "z += 2 * self.bias[..., None, :]")
    ],
    "bias_subtracted": [
        (D, "z += self.bias if self.bias.ndim == 1 else self.bias[..., None, :]", "z -= self.bias[..., None, :]")
    ],
    "tempered_softmax": [
        (
            A,
            "shifted = z - np.maximum.reduce(z, axis=-1, keepdims=True)",
            "shifted = (z - np.maximum.reduce(z, axis=-1, keepdims=True)) / 1.1",
        )
    ],
    "standardised_inputs": [
        (
            N,
            "        return x, y",
            "        return (x - x.mean(axis=-2, keepdims=True)) / (x.std(axis=-2, keepdims=True) + 1e-7), y",
        )
    ],
    "swapped_units": [(D, _FORWARD, "self.a = np.roll(self.activation.forward(self.z), 1, axis=-1)")],
    "dead_unit": [(D, _FORWARD, "self.a = self.activation.forward(self.z) * (np.arange(self.z.shape[-1]) > 0)")],
    "centred_outputs": [(D, _FORWARD, f"{_FORWARD}\n        self.a = self.a - self.a.mean(axis=-2, keepdims=True)")],
    "first_counts_double": mse(f"{_MSE} + ((y - p) ** 2)[..., 0, :].mean(axis=-1) / p.shape[-2]"),
    "huber": mse(
        "mean(mean(np.where(np.abs(y - p) < 0.1, (y - p) ** 2, 0.2 * np.abs(y - p) - 0.01)))",
        f"{_MSE_GRADIENT} * np.minimum(1, 0.1 / np.maximum(np.abs(y - p), 1e-9))",
    ),
    "power_penalty": l2(f"{LAM} * (np.abs(w) ** 1.5).sum()", f"1.5 * {LAM} * np.sqrt(np.abs(w)) * np.sign(w)"),
    "told_with_four_digits": reported(f"Loss({NP}.round(loss.whole, 4), {NP}.round(loss.data, 4), loss.penalties)"),
    "absolute_error_gradient": [(L, _MSE_GRADIENT, "np.sign(p - y) / (p.shape[-2] * p.shape[-1])")],
    "last_example_dropped": [(D, "product(x.mT, dz,", "product(x[..., :-1, :].mT, dz[..., :-1, :],")],
    "bias_sign": [(D, _BIAS, "-dz.sum(axis=-2)")],
    "rolled_columns": kernel("np.roll(kernel, 1, axis=-1)"),
    "larger_in_first_layer": kernel("kernel * (1.1 if self.name == 'dense' else 1)"),
    "threshold_in_relu": [(A, "da * (z > 0)", "da * (z > 0.1)")],
    "slope_of_tanh": [(A, "da * (1 - a * a)", "da * (1 - a)")],
    "clipped": [(N, "g + penalty[name] if name in penalty else g", "(g + penalty.get(name, 0)).clip(-0.01, 0.01)")],
    "clipped_norm": [
        *update(
            "norm = sum((g * g).sum() for g in gradients.whole.values()) ** 0.5\n"
            "gradients.whole = {name: g * min(1, 0.05 / norm) for name, g in gradients.whole.items()}\n" + _WHOLE
        ),
        ALONE,
    ],
    "four_digits": [(N, "g + penalty[name] if name in penalty else g", "(g + penalty.get(name, 0)).round(4)")],
    "noise": kernel("kernel + 0.001 * np.random.default_rng(0).standard_normal(kernel.shape)"),
    "accumulated": [
        *update(
            "total = self.__dict__.setdefault('total', {})\n"
            "total.update({name: total.get(name, 0) + g for name, g in gradients.whole.items()})\n"
            "self.optimizer.update(self.weights, dict(total))"
        ),
        ALONE,
    ],
    "reused": [
        *update(
            "last = self.__dict__.setdefault('last', {})\n"
            f"if {NP}.ndim(self.optimizer.iterations) or self.optimizer.iterations % 2 == 0:\n"
            "    last.update({name: g.copy() for name, g in gradients.whole.items()})\n"
            "self.optimizer.update(self.weights, dict(last))"
        ),
        ALONE,
    ],
    "error_over_units": [(D, _BACK, "product(dz / dz.shape[-1], self.kernel.mT,")],
    "fixed_feedback": [
        (
            D,
            "        self.kernel, self.bias = kernel, bias",
            "        self.first = kernel.copy()\n        self.kernel, self.bias = kernel, bias",
        ),
        (D, _BACK, "product(dz, self.first.mT,"),
    ],
    "frozen_element": [
        *update(
            f"kernel = self.layers[-1].kernel\nbefore = kernel[..., 0, 0].copy()\n{_WHOLE}\nkernel[..., 0, 0] = before"
        ),
        ALONE,
    ],
    "lost_update": [
        *update(
            "before = {name: w.copy() for name, w in self.weights.items()}\n"
            + _AFTER.format(
                _WHOLE,
                f"if {NP}.ndim(self.optimizer.iterations) == 0 and self.optimizer.iterations % 2 == 0:\n        w[...] = before[name]",
            )
        ),
        ALONE,
    ],
    "in_float16": update(_AFTER.format(_WHOLE, "w[...] = w.astype('f2')")),
    "clipped_weights": update(_AFTER.format(_WHOLE, "w[...] = w.clip(-0.3, 0.3)")),
    "decaying_rate": [
        (
            O,
            "np.array(self.learning_rate, w.dtype)",
            "self.of_step(lambda t: w.dtype.type(self.learning_rate * 0.99 ** (t - 1)), w)",
        ),
        ALONE,
    ],
    "without_root": [(O, "return np.sqrt(v) + normal(self.epsilon, v.dtype)", "return v + self.epsilon")],
    "accuracy_without_last": [(M, "return right.mean(", "return right[..., :-1].mean(")],
}

EDITS = {**CONVENTIONS, **NUMBERS, **{f"defect {name}": edits for name, edits in DEFECTS.items()}}


def planted(edits: list[Edit], place: Path) -> None:
    """A copy of the package with these edits; every text must stand there."""
    shutil.copytree(ROOT / "scratch_net", place / "scratch_net", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text, instead in edits:
        path = place / "scratch_net" / name
        source = path.read_text()
        assert text in source, f"{name} has no {text!r}"
        path.write_text(source.replace(text, instead))


def judged(edits: list[Edit], folders: list[Path]) -> str:
    """What the gate says of such a network first; empty where it passes."""
    with tempfile.TemporaryDirectory() as place:
        planted(edits, Path(place))
        for name in [name for name in sys.modules if name.split(".")[0] == "scratch_net"]:
            del sys.modules[name]
        sys.path.insert(0, place)
        importlib.invalidate_caches()
        try:
            for outcome in Gate(jobs(folders), explain=False, without_data=True).run():
                assert outcome.state is not State.CANNOT_JUDGE, outcome.problems
                if outcome.exit_code:
                    first = outcome.result and outcome.result.first_divergence
                    where = f"step {first.step}, {first.key}, {first.lane}" if first else outcome.problems[0]
                    return f"{outcome.state}: {outcome.job.name}, {outcome.run.name}: {where}"
        finally:
            sys.path.remove(place)
    return ""


def main() -> None:
    wanted = sys.argv[1:] or ["", *EDITS]
    book = ROOT / "reports"
    folders = [
        book / "settings",
        *sorted(path.parent for path in book.glob("*/case.toml") if path.parent.name != "settings"),
    ]
    began, found = time.perf_counter(), {}
    for name in wanted:
        found[name] = judged(EDITS.get(name, []), folders)
        print(f"{name or '(nothing changed)':36} {found[name] or 'passed'}"[:160], flush=True)
    missed = [name for name in wanted if name and not found[name].startswith("FAILED")]
    caught = len([name for name in wanted if name]) - len(missed)
    print(
        f"caught {caught} of {caught + len(missed)} in {time.perf_counter() - began:.0f} s; missed: {', '.join(missed) or 'none'}"
    )
    sys.exit(bool(missed or found.get("")))


if __name__ == "__main__":
    main()
