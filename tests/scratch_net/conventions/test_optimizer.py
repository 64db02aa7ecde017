"""Each wrong optimizer against the same mistake written out by hand, given the gradients that the network told."""

from __future__ import annotations

import numpy as np
import pytest

from parity.config.optimizers import SGD, Adam, RMSprop
from parity.protocol import Key
from scratch_net.conventions.factors import Factors
from scratch_net.conventions.optimizer import CHOICES
from tests.scratch_net.conventions.networks import NETWORKS, batches, experiment, started, steps

U = np.finfo("float64").eps / 2
ROUNDINGS = 32  # more than an update of one number has
WEIGHTS = tuple(f"{layer}/{name}" for layer in ("dense", "dense_1", "dense_2") for name in ("kernel", "bias"))


def single(number):
    """As Keras rounds it."""
    return float(np.float32(number))


# A hand-written optimizer takes (w, g, s, o, t, k): the weight, its gradient, its slots by name (written to), the
# optimizer's numbers, the number of the step and that of the tensor, both from 1. It returns what is added to w.


def sgd(w, g, s, o, t, k, rate=1.0):
    return -rate * o.learning_rate * g


def momentum(w, g, s, o, t, k, mu=None, rate=1.0):
    mu = single(o.momentum) if mu is None else mu
    s["momentum"] = mu * s["momentum"] - rate * o.learning_rate * g
    return s["momentum"]


def unused_momentum(w, g, s, o, t, k):
    momentum(w, g, s, o, t, k)
    return sgd(w, g, s, o, t, k)


def nesterov(w, g, s, o, t, k, mu=None):
    mu = single(o.momentum) if mu is None else mu
    return mu * momentum(w, g, s, o, t, k, mu) - o.learning_rate * g


def nesterov_twice(w, g, s, o, t, k):
    return (1 + single(o.momentum)) * momentum(w, g, s, o, t, k)


def outside(w, g, s, o, t, k):
    s["momentum"] = single(o.momentum) * s["momentum"] + g
    return -o.learning_rate * s["momentum"]


def outside_nesterov(w, g, s, o, t, k):
    mu = single(o.momentum)
    s["momentum"] = mu * s["momentum"] + g
    return -o.learning_rate * (g + mu * s["momentum"])


def moments(g, s, o):
    s["momentum"] = o.beta_1 * s["momentum"] + (1 - o.beta_1) * g
    s["velocity"] = o.beta_2 * s["velocity"] + (1 - o.beta_2) * g**2
    if not o.amsgrad:
        return s["momentum"], s["velocity"]
    s["velocity_hat"] = np.maximum(s["velocity_hat"], s["velocity"])
    return s["momentum"], s["velocity_hat"]


def alpha(o, t, rounded=single):
    return o.learning_rate * np.sqrt(1 - rounded(o.beta_2) ** t) / (1 - rounded(o.beta_1) ** t)


def adam(w, g, s, o, t, k, eps=None, rate=lambda o, t, k: alpha(o, t)):
    m, v = moments(g, s, o)
    return -rate(o, t, k) * m / (np.sqrt(v) + (o.epsilon if eps is None else eps))


def adam_of_the_paper(w, g, s, o, t, k):
    m, v = moments(g, s, o)
    m_hat, v_hat = m / (1 - single(o.beta_1) ** t), v / (1 - single(o.beta_2) ** t)
    return -o.learning_rate * m_hat / (np.sqrt(v_hat) + o.epsilon)


def adam_under_the_root(w, g, s, o, t, k):
    m, v = moments(g, s, o)
    return -alpha(o, t) * m / np.sqrt(v + o.epsilon)


def adam_of_the_paper_under_the_root(w, g, s, o, t, k):
    m, v = moments(g, s, o)
    m_hat, v_hat = m / (1 - single(o.beta_1) ** t), v / (1 - single(o.beta_2) ** t)
    return -o.learning_rate * m_hat / np.sqrt(v_hat + o.epsilon)


def rmsprop(w, g, s, o, t, k, rho=None, eps=None, root=lambda v, eps: np.sqrt(v + eps), flipped=False, rate=1.0):
    rho, eps = (o.rho if rho is None else rho), (o.epsilon if eps is None else eps)
    v = s["velocity"] = rho * s["velocity"] + (1 - rho) * g**2
    if o.centered != flipped:
        s["average_gradient"] = rho * s["average_gradient"] + (1 - rho) * g
        v = v - s["average_gradient"] ** 2
    moved = rate * o.learning_rate * g / root(v, eps)
    if o.momentum:
        moved = s["momentum"] = o.momentum * s["momentum"] + moved
    return -moved


def changed(optimizer, **how):
    return lambda *given: optimizer(*given, **how)


def given(optimizer, settings):
    """As it would be with other settings: `settings(o)` of those it has."""
    return lambda w, g, s, o, t, k: optimizer(w, g, s, o.model_copy(update=settings(o)), t, k)


# (choice, network) -> the optimizer by hand
KERAS = {
    "relu": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "adam": adam,
    "amsgrad": adam,
    "rmsprop": rmsprop,
    "centered": rmsprop,
}
WRONG = {
    ("optimizer.constants=exact", "momentum"): changed(momentum, mu=0.9),
    ("optimizer.constants=exact", "nesterov"): changed(nesterov, mu=0.9),
    ("optimizer.constants=exact", "amsgrad"): changed(adam, rate=lambda o, t, k: alpha(o, t, float)),
    ("adam.epsilon=textbook", "amsgrad"): adam_of_the_paper,
    ("adam.epsilon=textbook", "adam"): adam_of_the_paper,
    ("adam.epsilon=inside", "amsgrad"): adam_under_the_root,
    ("adam.epsilon=textbook_inside", "amsgrad"): adam_of_the_paper_under_the_root,
    ("adam.epsilon=textbook_inside", "adam"): adam_of_the_paper_under_the_root,
    ("adam.epsilon_value=1e-8", "amsgrad"): changed(adam, eps=1e-8),
    ("adam.epsilon_scale=absent", "amsgrad"): changed(adam, eps=0.0),
    ("adam.betas=exchanged", "adam"): given(adam, lambda o: {"beta_1": o.beta_2, "beta_2": o.beta_1}),
    ("adam.betas=exchanged", "amsgrad"): given(adam, lambda o: {"beta_1": o.beta_2, "beta_2": o.beta_1}),
    ("adam.bias_correction=missing", "adam"): changed(adam, rate=lambda o, t, k: o.learning_rate),
    ("adam.bias_correction=no_power", "adam"): changed(adam, rate=lambda o, t, k: alpha(o, 1)),
    ("adam.step=ahead", "adam"): changed(adam, rate=lambda o, t, k: alpha(o, t + 1)),
    ("adam.step=per_tensor", "adam"): changed(adam, rate=lambda o, t, k: alpha(o, (t - 1) * len(WEIGHTS) + k)),
    **{
        (f"adam.step=per_tensor{order}", "amsgrad"): changed(
            adam, rate=lambda o, t, k, position=position: alpha(o, (t - 1) * len(WEIGHTS) + position.index(k) + 1)
        )
        for order, position in (("_backwards", [5, 6, 3, 4, 1, 2]), ("_kernels_first", [1, 3, 5, 2, 4, 6]))
    },
    ("momentum.factor=ignored", "momentum"): unused_momentum,
    ("momentum.factor=ignored", "nesterov"): unused_momentum,
    ("momentum.dampening=dampened", "momentum"): changed(momentum, rate=1 - 0.9),
    ("momentum.nesterov=on", "momentum"): nesterov,
    ("momentum.nesterov=off", "nesterov"): momentum,
    ("momentum.nesterov=twice", "nesterov"): nesterov_twice,
    ("momentum.nesterov=lookahead", "nesterov"): momentum,
    ("momentum.rate=outside", "momentum"): outside,
    ("momentum.rate=outside", "nesterov"): outside_nesterov,
    ("rmsprop.epsilon=outside", "rmsprop"): changed(rmsprop, root=lambda v, eps: np.sqrt(v) + eps),
    ("rmsprop.epsilon=outside", "centered"): changed(rmsprop, root=lambda v, eps: np.sqrt(v) + eps),
    ("rmsprop.epsilon_value=1e-8", "rmsprop"): changed(rmsprop, eps=1e-8),
    ("rmsprop.epsilon_value=1e-8", "centered"): changed(rmsprop, eps=1e-8),
    ("rmsprop.epsilon_scale=absent", "rmsprop"): changed(rmsprop, eps=0.0),
    ("rmsprop.rho=0.99", "centered"): changed(rmsprop, rho=0.99),
    ("rmsprop.momentum=ignored", "centered"): given(rmsprop, lambda o: {"momentum": 0.0}),
    ("rmsprop.centered=flipped", "rmsprop"): changed(rmsprop, flipped=True),
    ("rmsprop.centered=flipped", "centered"): changed(rmsprop, flipped=True),
    ("learning_rate.scale=half", "relu"): changed(sgd, rate=0.5),
    ("learning_rate.scale=half", "momentum"): changed(momentum, rate=0.5),
    ("learning_rate.scale=double", "centered"): changed(rmsprop, rate=2),
    ("learning_rate.scale=double", "adam"): changed(adam, rate=lambda o, t, k: 2 * alpha(o, t)),
}


def with_momentum(w, g, s, o, t, k):
    """A momentum of 0.9, which the experiment's optimizer has not."""
    plain, mu = (sgd, single(0.9)) if isinstance(o, SGD) else (rmsprop, 0.9)
    sign = 1 if isinstance(o, SGD) else -1  # RMSprop's is taken from the weight
    s["momentum"] = mu * s.get("momentum", 0) + sign * plain(w, g, s, o, t, k)
    return sign * s["momentum"]


def slower(optimizer):
    """At a rate that decays."""
    return lambda w, g, s, o, t, k: optimizer(
        w, g, s, o.model_copy(update={"learning_rate": o.learning_rate / (1 + 0.25 * (t - 1))}), t, k
    )


NUMBERED = {
    ("sgd.added_momentum=0.9", "relu"): with_momentum,
    ("rmsprop.added_momentum=0.9", "rmsprop"): with_momentum,
    ("learning_rate.decay=0.25", "relu"): slower(sgd),
    ("learning_rate.decay=0.25", "momentum"): slower(momentum),
    ("learning_rate.decay=0.25", "adam"): slower(adam),
    ("learning_rate.decay=0.25", "centered"): slower(rmsprop),
    ("adam.epsilon_scale=100", "adam"): given(adam, lambda o: {"epsilon": 100 * o.epsilon}),
    ("adam.gradient_share=0.5", "adam"): given(adam, lambda o: {"beta_1": 1 - 0.5 * (1 - o.beta_1)}),
    ("adam.square_share=10", "amsgrad"): given(adam, lambda o: {"beta_2": 1 - 10 * (1 - o.beta_2)}),
    ("momentum.factor=5/9", "momentum"): given(momentum, lambda o: {"momentum": 5 / 9 * o.momentum}),
    ("momentum.factor=5/9", "nesterov"): given(nesterov, lambda o: {"momentum": 5 / 9 * o.momentum}),
    ("rmsprop.epsilon_scale=1000", "rmsprop"): given(rmsprop, lambda o: {"epsilon": 1000 * o.epsilon}),
    ("rmsprop.momentum=1.6", "centered"): given(rmsprop, lambda o: {"momentum": 1.6 * o.momentum}),
    ("rmsprop.square_share=0.5", "centered"): given(rmsprop, lambda o: {"rho": 1 - 0.5 * (1 - o.rho)}),
}
WRITTEN = WRONG | NUMBERED


def _compare(choices, name, by_hand):
    """Each step from what the one before it left."""
    configs = {"SGD": SGD, "Adam": Adam, "RMSprop": RMSprop}
    of = experiment(name).optimizer
    assert type(of) is configs[of.class_name]
    for one in steps(name, choices)[0]:
        before = {key.tensor: array for key, array in one.before.items()}
        for k, weight in enumerate(WEIGHTS, 1):
            g = one.arrays[Key("gradient", weight)][0]
            slots = {slot.rpartition("/")[2]: s for slot, s in before.items() if slot.startswith(f"{weight}/")}
            added = by_hand(before[weight], g, slots, of, one.first_step, k)
            size = max(np.abs(before[weight]).max(), np.abs(added).max())
            _assert_near(one.arrays[Key("update", weight)][0], before[weight] + added, size)
            for slot, expected in slots.items():
                told = one.arrays[Key("update", f"{weight}/{slot}")][0]
                _assert_near(told, expected, np.abs(expected).max())
        assert one.arrays[Key("update", "optimizer/iterations")] == one.first_step


def _assert_near(told, expected, size):
    np.testing.assert_allclose(told, expected, rtol=0, atol=ROUNDINGS * U * size)


@pytest.mark.parametrize("name", KERAS)
def test_by_hand_is_keras_choice_without_a_mistake(name):
    _compare({}, name, KERAS[name])


@pytest.mark.parametrize(("choice", "name"), WRITTEN, ids=" of ".join)
def test_a_mistake_is_the_mistake_as_written(choice, name):
    _compare(dict([choice.split("=")]), name, WRITTEN[choice, name])


@pytest.mark.parametrize(("choice", "name"), NUMBERED, ids=" of ".join)
def test_a_number_is_nothing_where_its_setting_is_not(choice, name):
    others = {one for one, _ in KERAS.items()} - {of for one, of in NUMBERED if one == choice}
    family = {"adam": {"adam", "amsgrad"}, "momentum": {"momentum", "nesterov"}, "rmsprop": {"rmsprop", "centered"}}
    family |= {"sgd": {"relu"}, "learning_rate": set(KERAS)}
    for other in others - family[choice.partition(".")[0]]:
        _compare(dict([choice.split("=")]), other, KERAS[other])


def test_a_setting_is_the_number_that_somebody_wrote_down():
    """Of 1 - 0.5 * (1 - 0.9) floats make 0.95 but for its last bit."""
    made = {"adam": {"adam.gradient_share": "0.5", "adam.square_share": "10"}, "momentum": {"momentum.factor": "5/9"}}
    adam, sgd = (started(name, choices)[0].network.optimizer for name, choices in made.items())
    assert (adam.beta_1, adam.beta_2, sgd.momentum) == (0.95, 0.99, 0.5)


def test_every_mistake_is_written_out():
    table = {f"{code}={choice}" for code, choices in CHOICES.items() for choice in choices}
    below = {f"{code}={choice}" for code in ("update.layers", "update.biases") for choice in CHOICES[code]}
    below |= {"update.each=example", "learning_rate.scale=over_batch"}
    assert {choice for choice, _ in WRONG} | below == table
    numbers = {code for code, choices in CHOICES.items() if isinstance(choices, Factors)} - {"learning_rate.scale"}
    assert {choice.partition("=")[0] for choice, _ in NUMBERED} == numbers


def test_in_float32_too_exact_constants_are_those_of_python_floats():
    """`1 - 0.999**t` in double precision, where the betas of the network that Keras trains are float32's."""
    of, exact = experiment("adam").optimizer, {"optimizer.constants": "exact"}
    for one, keras in zip(steps("adam", exact, "float32")[0], steps("adam", {}, "float32")[0], strict=True):
        rate = np.float32(alpha(of, one.first_step, float))
        m, v = (one.arrays[Key("update", f"dense/kernel/{slot}")][0] for slot in ("momentum", "velocity"))
        moved = (m * rate) / (np.sqrt(v) + np.float32(of.epsilon))
        told = one.arrays[Key("update", "dense/kernel")][0]
        assert told.tobytes() == (one.before[Key("update", "dense/kernel")] - moved).tobytes()
        assert told.tobytes() != keras.arrays[Key("update", "dense/kernel")][0].tobytes()


# What is held against the network itself ----------------------------------------------------------------------------


def test_a_rate_over_the_batch_is_over_the_very_batch():
    for one in steps("relu", {"learning_rate.scale": "over_batch"})[0]:
        rate = experiment("relu").optimizer.learning_rate / one.arrays[Key("batch", "x")].shape[1]
        for weight in WEIGHTS:
            before, g = one.before[Key("update", weight)], one.arrays[Key("gradient", weight)][0]
            assert (before - g * rate).tobytes() == one.arrays[Key("update", weight)][0].tobytes()


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        ("update.layers=not_first", WEIGHTS[:2]),
        ("update.layers=not_second", WEIGHTS[2:4]),
        ("update.layers=not_third", []),
        ("update.layers=not_last", WEIGHTS[-2:]),
        ("update.layers=only_first", WEIGHTS[2:]),
        ("update.layers=only_last", WEIGHTS[:-2]),
        ("update.layers=no_biases", WEIGHTS[1::2]),
        ("update.biases=not_first", WEIGHTS[1:2]),
        ("update.biases=not_second", WEIGHTS[3:4]),
        ("update.biases=not_third", []),
        ("update.biases=not_last", WEIGHTS[-1:]),
    ],
)
@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "centered"])
def test_what_is_not_updated_keeps_its_value_and_the_rest_takes_keras_step(choice, kept, name):
    (keras, *_), _ = steps(name, {})
    (other, *_), _ = steps(name, dict([choice.split("=")]))
    for key, array in other.arrays.items():
        weight = "/".join(key.tensor.split("/")[:2])
        unchanged = key.phase == "update" and weight in kept
        expected = other.before[key] if unchanged else keras.arrays[key][0]
        assert array[0].tobytes() == expected.tobytes(), key


@pytest.mark.parametrize("name", NETWORKS)
def test_an_update_an_example_is_training_on_batches_of_one(name):
    together, _ = started(name, {"update.each": "example"})
    single_examples, _ = started(name, {})
    for x, y in batches(name):
        whole, _ = started(name, {})
        state = single_examples.network.weights
        for weight, w in whole.network.weights.items():
            w[...] = state[weight]
        whole_said, said = whole.step(x, y), together.step(x, y)
        for word in set(said) - {"weights", "optimizer"}:  # as the batch is told before the first update
            _assert_same(said[word], whole_said[word], word)
        for row in range(len(x)):
            last = single_examples.step(x[row : row + 1], y[row : row + 1])
        for word in ("weights", "optimizer"):
            _assert_same(said[word], last[word], word)


@pytest.mark.parametrize("choice", ["skipped", "full_size"])
def test_no_batch_of_one_is_a_smaller_batch(choice):
    ours, _ = steps("sgd", {"update.each": "example", "data.partial_batch": choice})
    each, _ = steps("sgd", {"update.each": "example"})
    for one, other in zip(ours, each, strict=True):
        assert all(one.arrays[key].tobytes() == array.tobytes() for key, array in other.arrays.items())


def _assert_same(ours, theirs, word):
    pairs = [(ours, theirs)] if not isinstance(ours, dict) else [(ours[name], theirs[name]) for name in theirs]
    assert all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs), word


def test_looking_ahead_is_nesterov_s_momentum_told_from_elsewhere():
    """Losses, gradients and slots agree; the weights kept are `mu * m` behind those of the gradient."""
    keras, ahead = (steps("nesterov", choices)[0] for choices in ({}, {"momentum.nesterov": "lookahead"}))
    mu = single(experiment("nesterov").optimizer.momentum)
    for step, (one, other) in enumerate(zip(keras, ahead, strict=True), 1):
        for key, array in one.arrays.items():
            told = other.arrays[key]
            if key.phase == "update" and key.tensor in WEIGHTS:
                told = told + mu * other.arrays[Key("update", f"{key.tensor}/momentum")]
            # Errors are carried along: one in m moves m by mu and w by 1 + mu, so they grow at most threefold a step.
            allowed = 3**step * 100 * U * max(np.abs(array).max(), 1)
            np.testing.assert_allclose(told, array, rtol=0, atol=allowed, err_msg=str(key))


def test_a_rate_outside_gives_the_same_weights_from_another_slot():
    keras, outside = (steps("momentum", choices)[0] for choices in ({}, {"momentum.rate": "outside"}))
    rate = experiment("momentum").optimizer.learning_rate
    for step, (one, other) in enumerate(zip(keras, outside, strict=True), 1):
        for weight in WEIGHTS:
            for name, factor in ((weight, 1), (f"{weight}/momentum", -rate)):
                expected = one.arrays[Key("update", name)]
                _assert_near(
                    other.arrays[Key("update", name)] * factor, expected, 3**step * max(np.abs(expected).max(), 1)
                )


def test_a_slot_that_the_reference_does_not_have_is_as_at_the_start():
    """A centered RMSprop that replays one that is not: its mean gradient is one step's."""
    side, _ = started("rmsprop", {"rmsprop.centered": "flipped"})
    of = experiment("rmsprop").optimizer
    for one in steps("rmsprop", {})[0]:
        slots = side.replay(one)["optimizer"]
        for weight in WEIGHTS:
            g = one.arrays[Key("gradient", weight)]
            assert slots[f"{weight}/average_gradient"].tobytes() == ((1 - of.rho) * g).tobytes()
            assert slots[f"{weight}/velocity"].tobytes() == one.arrays[Key("update", f"{weight}/velocity")].tobytes()
