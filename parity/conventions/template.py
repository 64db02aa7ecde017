"""Lines of code with fields in them, for what depends on the experiment: `{field:what stands there in general}`.

`rho = {rho:0.9}` reads `rho = 0.9` in the catalogue, and has the experiment's own rho beneath a cause. A brace that is
Python's is doubled, as in `str.format`.
"""

from __future__ import annotations

from collections.abc import Callable
from string import Formatter

# Every field there is, and what an experiment puts in its place.
FIELDS = {
    "optimizer": "its optimizer, with the arguments that are given here and else with its own",
    "exact_optimizer": "its optimizer, with the constants that Keras rounds kept in double precision",
    "rounded_constants": "the constants of its optimizer that Keras rounds, rounded",
    "momentum_step": "what a weight moves by, with nesterov or without",
    "rms": "the root that RMSprop divides by, centered or not",
    "epsilon": "its optimizer's epsilon",
    "rho": "its RMSprop's rho",
    "beta_1": "its Adam's beta_1",
    "beta_2": "its Adam's beta_2",
    "summed_loss": "its loss, summed over the batch",
    "loss_of_each": "its loss as a function of Keras', with the arguments that are given here and else with its own",
    "loss_and_gradient": "its loss in NumPy, and the derivative that backpropagation begins with",
    "loss_gradient": "the derivative that backpropagation begins with",
    "loss_from_logits": "its cross-entropy of z, and the derivative by z",
    "all_pairs": "its loss of each output against every target, in Keras",
    "told_log": "its cross-entropy of probabilities for each example, in Keras, with the logarithm that is given here",
    "clipped": "its cross-entropy of probabilities that are kept from 0 and 1, and the derivative by p",
    "output_activation": "the activation of its last layer",
    "output_derivative": "dz of its last layer",
    "hidden_derivative": "dz of its hidden layers",
    "derivative": "dz of its layers",
    "penalty": "what the regularizer of a weight, or of an output, adds to the loss",
    "penalty_gradient": "what it adds to the gradient",
    "rounded_factors": "the factors of its regularizers, rounded",
    "l2_everywhere": "each of its regularizers, with this for the l2 in it",
    "l2_of_weights": "each of its regularizers of weights, with this for the l2 in it",
    "l1_everywhere": "each of its regularizers, with this for the l1 in it",
    "l1_of_weights": "each of its regularizers of weights, with this for the l1 in it",
    "of_bias": "the regularizer of each bias, with this in its place",
    "bias_like_kernel": "the regularizer of each bias, with this for that of its kernel on top",
    "decayed": "its optimizer with a weight decay, of the kernels that have a regularizer",
    "activity": "each of its activity regularizers, with this in its place",
}


def filled(line: str, own: Callable[[str, str], str]) -> str:
    """The line with `own(field, what stands there in general)` for each field."""
    pieces = []
    for text, field, general, _ in Formatter().parse(line):
        pieces += [text, own(field, general or "")] if field is not None else [text]
    return "".join(pieces)


def general(line: str) -> str:
    """The line as the catalogue shows it, of no experiment in particular."""
    return filled(line, lambda _, general: general)


def fields_of(line: str) -> tuple[tuple[str, str], ...]:
    """Each field of the line, and what stands there in general."""
    return tuple((field, general or "") for _, field, general, _ in Formatter().parse(line) if field is not None)
