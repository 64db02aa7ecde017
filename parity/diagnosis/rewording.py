"""Readings that are the same in other words, and which of these are told."""

from __future__ import annotations

from collections.abc import Sequence

from parity.diagnosis.tried import Set

# Sets that are the same in other words, and how they are told: a half in the loss and a half in the gradient are half a
# penalty; and where no penalty is told, nobody asks what it would be. Runs with an l2 of outputs, which `l2.penalty` is
# about as well, or an l1 of kernels, which is told in any case, know them apart. Where biases alone have a penalty, or
# outputs alone, what is about every l2, or every l1, is about theirs. A derivative that is wrong in hidden layers alone
# is wrong in all that have one, where the output is linear or the loss skips its activation; one that is missing in one
# hidden layer is missing in all, where it is the only one; the first of two layers is all but the last; and of two
# classes each is the next of the other.
UNTOLD, MISSING = ("l2.reported", "absent"), ("gradient.hidden_activation", "missing")
REWORDED: tuple[tuple[Set, Set], ...] = (
    (frozenset({("l2.gradient", "half"), ("l2.reported", "half")}), frozenset({("l2.penalty", "half")})),
    (frozenset({("l2.gradient", "half"), UNTOLD}), frozenset({("l2.penalty", "half"), UNTOLD})),
    (frozenset({("l2.gradient", "absent"), UNTOLD}), frozenset({("l2.penalty", "absent")})),
    (frozenset({("l2.bias", "in_gradient"), UNTOLD}), frozenset({("l2.bias", "included"), UNTOLD})),
    *(
        (frozenset({("l2.gradient", by), UNTOLD}), frozenset({("l2.scale", by), UNTOLD}))
        for by in ("over_batch", "over_dataset")
    ),
    *(
        (frozenset({(f"{of}.gradient", gone), (f"{of}.reported", gone)}), frozenset({(f"{of}.penalty", gone)}))
        for of, gone in (("l1", "absent"), ("activity", "absent"))
    ),
    *(
        (frozenset({(f"{of}.{what}", choice)}), frozenset({better}))
        for of in ("l2", "l1")
        for what, choice, better in (
            ("penalty", "absent", ("bias.penalty", "absent")),
            ("gradient", "absent", ("bias.penalty", "in_loss")),
            ("reported", "absent", ("bias.penalty", "in_gradient")),
            ("penalty", "absent", ("activity.penalty", "absent")),
            ("penalty", "half", ("activity.penalty", "half")),
            ("reported", "absent", ("activity.reported", "absent")),
        )
    ),
    (frozenset({("gradient.batch", "sum"), ("loss.reported", "sum_batch")}), frozenset({("loss.batch", "sum")})),
    (
        frozenset({("gradient.batch", "sum"), ("gradient.kernel", "mean")}),
        frozenset({("gradient.bias", "not_averaged")}),
    ),
    *(
        (frozenset({("gradient.derivative", f"hidden_{where}")}), frozenset({("gradient.derivative", where)}))
        for where in ("at_output", "of_input")
    ),
    *(
        (frozenset({("gradient.hidden_activation", f"missing_in_{which}")}), frozenset({MISSING}))
        for which in ("first", "second", "third")
    ),
    *(
        (frozenset({(code, f"only_{one}")}), frozenset({(code, f"not_{other}")}))
        for code, one, other in (
            ("update.layers", "first", "last"),
            ("update.layers", "last", "first"),
            ("l2.layers", "first", "last"),
            ("l2.layers", "first", "second"),
            ("l2.layers", "last", "first"),
            ("l2.layers", "last", "second"),
        )
    ),
    *(
        (frozenset({("adam.step", f"per_tensor_{order}")}), frozenset({("adam.step", "per_tensor")}))
        for order in ("backwards", "kernels_first")
    ),
    (frozenset({("data.labels", "shifted_down")}), frozenset({("data.labels", "shifted")})),
)


def reworded(sets: Sequence[Set]) -> list[Set]:
    """The same readings, and only one of those that are the same in other words."""
    known = set(sets)

    def in_better_words(one: Set) -> Set:
        for said, better in REWORDED:
            if said <= one and (other := (one - said) | better) in known:
                return in_better_words(other)
        return one

    return list(dict.fromkeys(map(in_better_words, sets)))
