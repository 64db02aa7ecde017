"""The catalogue's lines of code in the words of an experiment: what their fields are in it.

The catalogue shows each field with one loss, one optimizer, one activation as an example (`parity/conventions/
template.py`). Whoever is to copy the line has others.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from typing import Any

from parity.config import Experiment
from parity.conventions.template import filled
from parity.diagnosis import own_loss, own_regularizers

# dz of a layer from the derivative `d` by its output `a`.
_DERIVATIVES = {
    "linear": "{d}",
    "sigmoid": "{d} * {a} * (1 - {a})",
    "tanh": "{d} * (1 - {a}**2)",
    "relu": "{d} * (z > 0)",
    "softmax": "{a} * ({d} - ({d} * {a}).sum(axis=-1, keepdims=True))",
}


def own_words(line: str, experiment: Experiment) -> str:
    """A line of the catalogue's, for Keras or for NumPy, with what the experiment has in place of its fields."""
    return filled(line, lambda field, general: RENDERED[field](general, experiment))


# Several causes ----------------------------------------------------------------------------------------------------


def together(lines: Mapping[str, str]) -> dict[str, str]:
    """Each cause's line for Keras as it is beside the others', of which one would undo another in the same argument.

    Factors are multiplied, and the line is then the same for each of these causes. Of others it is only said.
    """
    lines = dict(sorted(lines.items()))
    said, done = dict(lines), set()
    for causes, line in (_weights_of_loss(lines), _half_of_scaled(lines), _half_of_exact(lines)):
        for cause in causes:
            others = ", ".join(other for other in causes if other != cause)
            said[cause] = _remarked(line, f"the same line for {others}")
            done |= {frozenset((cause, other)) for other in causes}
    for cause, line in lines.items():
        for other in lines:
            if other == cause or frozenset((cause, other)) in done or not (both := _sets(line) & _sets(lines[other])):
                continue
            what = "; ".join(sorted(both))
            said[cause] = _remarked(said[cause], f"{other} has a line that sets {what}, too: make it one of both")
    return said


def _sets(line: str) -> set[str]:
    """What a line assigns; there are none of those that say why there is no line."""
    try:
        statements = ast.parse(line).body
    except SyntaxError:
        return set()
    return {ast.unparse(target) for one in statements if isinstance(one, ast.Assign) for target in one.targets}


def _remarked(line: str, remark: str) -> str:
    return f"{line}; {remark}" if "  # " in line else f"{line}  # {remark}"


def _weights_of_loss(lines: Mapping[str, str]) -> tuple[list[str], str]:
    """The causes that weigh the loss, and one line for them."""
    causes = [cause for cause, line in lines.items() if _sets(line) == {"loss_weights"}]
    if len(causes) < 2:  # of one it is the line that it is
        return [], ""
    factors: list[str] = []
    remarks: list[str] = []
    for cause in causes:
        code, _, remark = lines[cause].partition("  # ")
        factors.append(code.removeprefix("loss_weights = "))
        remarks += [one for one in remark.split("; ") if one not in remarks]
    remarks = [one for one in remarks if not any(one in other for other in remarks if other != one)]
    first, *others = factors
    product = " * ".join([first, *(f"({one})" if " " in one else one for one in others)])
    return causes, f"loss_weights = {product}  # {'; '.join(remarks)}"


def _half_of_scaled(lines: Mapping[str, str]) -> tuple[list[str], str]:
    """Half an l2 that is divided by something."""
    half = "l2.penalty=half"
    scale = next((cause for cause in lines if cause.startswith("l2.scale=")), "")
    if half not in lines or not scale or _sets(lines[half]) != _sets(lines[scale]):
        return [], ""
    return [half, scale], re.sub(r"L2\(([^()]+)\)\(w\)", r"L2(\1 / 2)(w)", lines[scale])


def _half_of_exact(lines: Mapping[str, str]) -> tuple[list[str], str]:
    """Half an l2 whose lambda is not rounded."""
    half, exact, whole = "l2.penalty=half", "l2.constant=exact", "lam * keras.ops.sum(keras.ops.square(w))"
    scaled = any(cause.startswith("l2.scale=") for cause in lines)
    if scaled or half not in lines or whole not in lines.get(exact, "") or _sets(lines[half]) != _sets(lines[exact]):
        return [], ""
    return [half, exact], lines[exact].replace(whole, whole.replace("lam", "lam / 2"))


# Optimizers --------------------------------------------------------------------------------------------------------


def _made(experiment: Experiment, given: Mapping[str, str]) -> str:
    """The experiment's optimizer with these arguments, and with its own settings where they say nothing."""
    optimizer = experiment.optimizer
    own = optimizer.model_dump(exclude={"class_name", "learning_rate", *given}, exclude_defaults=True)
    arguments = {**given, **{name: repr(value) for name, value in own.items()}}
    listed = ", ".join(f"{name}={value}" for name, value in arguments.items())
    return f"keras.optimizers.{optimizer.class_name}({listed})"


def _optimizer(general: str, experiment: Experiment) -> str:
    given = own_loss.keywords_of(own_loss.call_of(general))
    return _made(experiment, {name: _worked_out(written, experiment) for name, written in given.items()})


_SETTINGS = {"mu": "momentum", "beta_1": "beta_1", "beta_2": "beta_2", "rho": "rho", "eps": "epsilon"}
_SETTINGS |= {"centered": "centered", "nesterov": "nesterov"}


def _worked_out(written: str, experiment: Experiment) -> str:
    """What is made of the optimizer's own settings alone: `1 - 10 * (1 - beta_2)` is 0.99 beside 0.999.

    Of a setting that is true or false, `not centered`, that is the other one.
    """
    names = {node.id for node in ast.walk(ast.parse(written)) if isinstance(node, ast.Name)}
    own = {name: getattr(experiment.optimizer, _SETTINGS.get(name, ""), None) for name in names}
    values = {
        name: value if isinstance(value, bool) else Fraction(repr(float(value)))
        for name, value in own.items()
        if value is not None
    }
    if not names or names != values.keys():
        return written
    # Of fractions, as the network is made: floats have 2.2e-16 for 1 - 10 * (1 - 0.9).
    exact = _Exact().visit(ast.parse(written, mode="eval"))
    code = compile(ast.fix_missing_locations(exact), "", "eval")
    found = eval(code, {"Fraction": Fraction, **values})  # noqa: S307  # the catalogue's own
    return repr(found if isinstance(found, bool) else float(found))


class _Exact(ast.NodeTransformer):
    """Each number that is written, as a fraction."""

    def visit_Constant(self, node: ast.Constant) -> ast.Call:
        return ast.Call(ast.Name("Fraction", ast.Load()), [ast.Constant(repr(node.value))], [])


_ROUNDED = {"SGD": ("momentum",), "Adam": ("beta_1", "beta_2"), "RMSprop": ()}


def _exact_optimizer(_: str, experiment: Experiment) -> str:
    """A Python float is rounded to float32 on its way into Keras, a NumPy double is not."""
    optimizer = experiment.optimizer
    exact = {name: f"np.float64({getattr(optimizer, name)!r})" for name in _ROUNDED[optimizer.class_name]}
    return _made(experiment, {"learning_rate": "lr", **exact})


def _rounded_constants(general: str, experiment: Experiment) -> str:
    return {
        "SGD": "mu = float(np.float32(mu))",
        "Adam": "beta_1, beta_2 = (float(np.float32(c)) for c in (beta_1, beta_2))  # in beta**t only",
    }.get(experiment.optimizer.class_name, general)


def _momentum_step(_: str, experiment: Experiment) -> str:
    return "mu * m - lr * g" if getattr(experiment.optimizer, "nesterov", False) else "m"


def _rms(_: str, experiment: Experiment) -> str:
    centered = getattr(experiment.optimizer, "centered", False)
    return "np.sqrt(v - average**2 + eps)" if centered else "np.sqrt(v + eps)"


def _setting(name: str) -> Callable[[str, Experiment], str]:
    """The optimizer's setting of that name, or what stands there in general where it has none."""

    def render(general: str, experiment: Experiment) -> str:
        value: Any = getattr(experiment.optimizer, name, None)
        return general if value is None else repr(value)

    return render


def _decayed(general: str, experiment: Experiment) -> str:
    """Keras has one `weight_decay`: a line does where every penalty of a weight is the same l2, of a kernel."""
    made = general.partition("; ")[0].removeprefix("optimizer = ")
    kernels = [own_regularizers.factors(layer.kernel_regularizer) for layer in experiment.layers]
    biases = [own_regularizers.factors(layer.bias_regularizer) for layer in experiment.layers]
    kinds = {factors for factors in kernels if factors}
    if len(kinds) > 1 or any(factors.l1 for factors in kinds) or any(biases):
        return "# no line does: Keras has one weight_decay, and here the penalties of the weights are not all the same"
    none = [f"model.layers[{index}].kernel" for index, factors in enumerate(kernels) if kinds and not factors]
    excluded = ", ".join(["var_names=['bias']", *([f"var_list=[{', '.join(none)}]"] if none else [])])
    return f"optimizer = {_optimizer(made, experiment)}; optimizer.exclude_from_weight_decay({excluded})"


# Activations -------------------------------------------------------------------------------------------------------


def _derivative(activation: str, of_output: str, output: str) -> str:
    return _DERIVATIVES[activation].format(d=of_output, a=output)


def _output_derivative(_: str, experiment: Experiment) -> str:
    return f"dz = {_derivative(experiment.layers[-1].activation, 'dp', 'p')}"


def _of_layers(activations: list[str], general: str) -> str:
    """`dz` for each kind of activation there is; the first is the line, the others are told beside it."""
    kinds = [kind for kind in dict.fromkeys(activations) if kind != "linear"]
    if not kinds:
        return general
    first, *others = ((kind, _derivative(kind, "da", "a")) for kind in kinds)
    if not others:
        return f"dz = {first[1]}"
    return f"dz = {first[1]}  # {first[0]}; " + ", ".join(f"{kind}: {derivative}" for kind, derivative in others)


def _hidden_derivative(general: str, experiment: Experiment) -> str:
    return _of_layers([layer.activation for layer in experiment.layers[:-1]], general)


def _any_derivative(general: str, experiment: Experiment) -> str:
    """Of every layer whose derivative is taken: with a cross-entropy of the logits not of the last."""
    layers = experiment.layers[:-1] if own_loss.skips_activation(experiment) else experiment.layers
    return _of_layers([layer.activation for layer in layers], general)


RENDERED: Mapping[str, Callable[[str, Experiment], str]] = {
    "optimizer": _optimizer,
    "exact_optimizer": _exact_optimizer,
    "rounded_constants": _rounded_constants,
    "momentum_step": _momentum_step,
    "rms": _rms,
    "epsilon": _setting("epsilon"),
    "rho": _setting("rho"),
    "beta_1": _setting("beta_1"),
    "beta_2": _setting("beta_2"),
    "summed_loss": own_loss.summed,
    "loss_of_each": own_loss.of_each,
    "loss_and_gradient": own_loss.loss_and_gradient,
    "loss_gradient": own_loss.gradient,
    "loss_from_logits": own_loss.from_logits,
    "all_pairs": own_loss.all_pairs,
    "told_log": own_loss.told_log,
    "clipped": own_loss.clipped,
    "output_activation": lambda _, experiment: experiment.layers[-1].activation,
    "output_derivative": _output_derivative,
    "hidden_derivative": _hidden_derivative,
    "derivative": _any_derivative,
    "penalty": own_regularizers.penalty,
    "penalty_gradient": own_regularizers.penalty_gradient,
    "rounded_factors": own_regularizers.rounded_factors,
    "l2_everywhere": partial(own_regularizers.of_kind, kind="l2", places=own_regularizers.EVERYWHERE),
    "l2_of_weights": partial(own_regularizers.of_kind, kind="l2", places=own_regularizers.WEIGHTS),
    "l1_everywhere": partial(own_regularizers.of_kind, kind="l1", places=own_regularizers.EVERYWHERE),
    "l1_of_weights": partial(own_regularizers.of_kind, kind="l1", places=own_regularizers.WEIGHTS),
    "of_bias": partial(own_regularizers.whole, place="bias_regularizer"),
    "bias_like_kernel": own_regularizers.bias_like_kernel,
    "decayed": _decayed,
    "activity": partial(own_regularizers.whole, place="activity_regularizer"),
}
