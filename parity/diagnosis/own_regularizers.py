"""An experiment's regularizers as a line of code, for NumPy and for Keras.

For NumPy a line is of the regularizer of any weight, or of a bias or an output where it says so, with `lam` for its
factor, or `l1` and `l2` where there are both.

For Keras each has its own factors. Where the line of the catalogue says it all, since there is one factor in one kind
of place, it is left as it is, `lam` and all. Else there is a statement for each place: Keras reads `weight.regularizer`
and `layer.activity_regularizer` when it is first trained.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

from parity.config import Experiment

WEIGHTS = ("kernel_regularizer", "bias_regularizer")
OUTPUTS = ("activity_regularizer",)
EVERYWHERE = (*WEIGHTS, *OUTPUTS)


@dataclass(frozen=True)
class Factors:
    """`l1 * sum |w| + l2 * sum w**2`."""

    l1: float = 0.0
    l2: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.l1 or self.l2)


@dataclass(frozen=True)
class _Place:
    """Where a regularizer stands, and what of it the choice changes."""

    layer: int
    argument: str
    kept: Factors
    changed: Factors

    @property
    def statement(self) -> str:
        """What is assigned to."""
        layer = f"model.layers[{self.layer}]"
        kind = self.argument.removesuffix("_regularizer")
        return f"{layer}.{self.argument}" if kind == "activity" else f"{layer}.{kind}.regularizer"


def factors(regularizer: object) -> Factors:
    """Those of a regularizer of the config's; None has none."""
    return Factors(getattr(regularizer, "l1", 0.0), getattr(regularizer, "l2", 0.0))


# In NumPy ----------------------------------------------------------------------------------------------------------


# What a line is about -> where its regularizers stand.
_PLACES = {"b": WEIGHTS[1:], "a": OUTPUTS}


def largest_factors(experiment: Experiment, places: Iterable[str]) -> Factors:
    """Those that the regularizers in these places have, the largest of each."""
    found = [factors(getattr(layer, place)) for layer in experiment.layers for place in places]
    return Factors(max(own.l1 for own in found), max(own.l2 for own in found))


def _terms(general: str, experiment: Experiment, l1: str, l2: str) -> str:
    """`general` for the regularizers that there are: `l1` and `l2` say it for a factor and what is penalized."""
    (penalized,) = set(re.findall(r"(?<![\w.])(?:[ab]|W(?:\[l\])?)(?!\w)", general))
    own = largest_factors(experiment, _PLACES.get(penalized, WEIGHTS))
    if own.l1 and own.l2:
        return f"{l1.format('l1', penalized)} + {l2.format('l2', penalized)}"
    return (l1 if own.l1 else l2).format("lam", penalized) if own else general


def penalty(general: str, experiment: Experiment) -> str:
    """What a weight `W` adds to the loss."""
    return _terms(general, experiment, "{} * np.sum(np.abs({}))", "{} * np.sum({}**2)")


def penalty_gradient(general: str, experiment: Experiment) -> str:
    """What a weight adds to its gradient."""
    return _terms(general, experiment, "{} * np.sign({})", "2 * {} * {}")


def rounded_factors(general: str, experiment: Experiment) -> str:
    """Each factor as Keras has it."""
    both = any(own.l1 and own.l2 for own in (largest_factors(experiment, places) for places in (WEIGHTS, OUTPUTS)))
    return "l1, l2 = (float(np.float32(c)) for c in (l1, l2))" if both else general


# In Keras ----------------------------------------------------------------------------------------------------------


def of_kind(general: str, experiment: Experiment, kind: str, places: Iterable[str]) -> str:
    """The l1 or l2 of each regularizer in these places changed, the other one kept."""
    found = []
    for index, layer in enumerate(experiment.layers):
        for argument in places:
            own = factors(getattr(layer, argument))
            if getattr(own, kind):
                l1, l2 = Factors(l1=own.l1), Factors(l2=own.l2)
                found.append(_Place(index, argument, *((l1, l2) if kind == "l2" else (l2, l1))))
    return _line(general, found, kind)


def bias_like_kernel(general: str, experiment: Experiment) -> str:
    """Each bias with its kernel's regularizer, beside its own."""
    found = [
        _Place(index, "bias_regularizer", factors(layer.bias_regularizer), own)
        for index, layer in enumerate(experiment.layers)
        if layer.use_bias and (own := factors(layer.kernel_regularizer))
    ]
    return _line(general, found)


def whole(general: str, experiment: Experiment, place: str) -> str:
    """Each regularizer in such a place changed, l1 and l2."""
    found = [
        _Place(index, place, Factors(), own)
        for index, layer in enumerate(experiment.layers)
        if (own := factors(getattr(layer, place)))
    ]
    return _line(general, found)


def _line(general: str, places: list[_Place], kind: str = "l2") -> str:
    """`general`, which says it for this kind, of each of these places."""
    value = general.partition("=")[2]
    kinds = {(place.argument, place.kept, place.changed) for place in places}
    if not kinds:
        return general
    argument, kept, changed = next(iter(kinds))
    if len(kinds) == 1 and not kept and changed == Factors(**{kind: getattr(changed, kind)}):
        return f"{argument}={value}"
    return "; ".join(f"{place.statement} = {_regularizer(value, place)}" for place in places)


# What a regularizer is ----------------------------------------------------------------------------------------------


def _regularizer(general: str, place: _Place) -> str:
    """What `general`, an expression in `lam` for an l2 of that factor, makes of this place's regularizer."""
    tree = ast.parse(general, mode="eval").body
    if isinstance(tree, ast.Lambda):
        return _function(tree, place)
    changed = tree.args[0] if isinstance(tree, ast.Call) else None  # None: no regularizer
    terms = {}
    for name in ("l1", "l2"):
        kept, factor = getattr(place.kept, name), getattr(place.changed, name)
        own = [repr(kept)] if kept else []
        own += [_with(changed, factor)] if factor and changed is not None else []
        if own:
            terms[name] = " + ".join(own)
    if not terms:
        return "None"
    if len(terms) == 1:
        ((name, term),) = terms.items()
        return f"keras.regularizers.{name.upper()}({term})"
    return f"keras.regularizers.L1L2({', '.join(f'{name}={term}' for name, term in terms.items())})"


def _function(tree: ast.Lambda, place: _Place) -> str:
    """As a function: what is kept, and the general one for each factor that is not."""
    w = tree.args.args[0].arg
    terms = [
        f"keras.regularizers.{name.upper()}({factor!r})({w})"
        for name in ("l1", "l2")
        if (factor := getattr(place.kept, name))
    ]
    if place.changed.l1:
        terms.append(_with(tree.body, place.changed.l1).replace("keras.regularizers.L2", "keras.regularizers.L1"))
    if place.changed.l2:
        terms.append(_with(tree.body, place.changed.l2))
    return f"lambda {w}: {' + '.join(terms)}"


def _with(expression: ast.expr, factor: float) -> str:
    """The expression with this number for `lam`."""

    class Numbers(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:  # as ast calls it
            return ast.Constant(factor) if node.id == "lam" else node

    return ast.unparse(Numbers().visit(ast.parse(ast.unparse(expression), mode="eval")))
