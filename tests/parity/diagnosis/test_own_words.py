"""The catalogue's lines with an experiment's own loss and optimizer in them: still lines of Python, and its own."""

from __future__ import annotations

import ast
import inspect

import numpy as np
import pytest

from keras_ref.build import build
from parity.config import validate
from parity.conventions import NAMES, catalogue, convention
from parity.conventions.template import FIELDS, general
from parity.diagnosis.own_words import RENDERED, own_words
from tests.parity.diagnosis.benches import TABLE

LOSSES = ("mse", "SumSquaredError", "categorical_crossentropy", "sparse_categorical_crossentropy", "bce")
OPTIMIZERS = (
    {"class_name": "SGD", "momentum": 0.8, "nesterov": True},
    {"class_name": "Adam", "beta_1": 0.8},
    {"class_name": "RMSprop", "centered": True},
)
REGRESSION = {"source": "regression", "samples": 20, "features": 3, "targets": 2}
SCHEDULE = "keras.optimizers.schedules.InverseTimeDecay(lr, 1, 0.001)"
SUM_SQUARED = "keras.ops.sum(keras.ops.square(y - p), axis=-1)"
KEPT = "keras.ops.clip(p, 1e-8, 1 - 1e-8)"
LOG_OF_BOTH = f"-keras.ops.mean(y * keras.ops.log({KEPT}) + (1 - y) * keras.ops.log(1 - {KEPT}), axis=-1)"
OF_BOTH = "keras.losses.binary_crossentropy(y, p)"
OF_RMSPROP = ("rmsprop.epsilon_value", "rmsprop.rho")
OF_OPTIMIZER = {"adam": "Adam", "momentum": "SGD", "rmsprop": "RMSprop"}
LINES = [
    pytest.param(entry.code, line, id=f"{entry.code}={choice.name} {field}")
    for entry in catalogue().values()
    for choice in entry.listed
    for field in ("fix_reference", "fix_candidate")
    if (line := getattr(choice, field))
]


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(z):
    return np.exp(-np.logaddexp(0, -z))


def experiment(loss="categorical_crossentropy", optimizer=OPTIMIZERS[0]):
    data = TABLE["data"] | ({"one_hot": None} if str(loss).startswith("sparse") else {})
    return validate({**TABLE, "data": data, "loss": loss, "optimizer": optimizer})


def can_be_named(code, experiment):
    """A convention of one optimizer is never found in a run of another, nor one of a loss in another loss's."""
    family = code.partition(".")[0]
    if code in {"loss.input", "loss.log", "loss.softmax", "loss.smoothing"}:
        return experiment.loss.class_name.endswith("Crossentropy")
    if code == "optimizer.constants":
        return experiment.optimizer.class_name != "RMSprop"
    return OF_OPTIMIZER.get(family, experiment.optimizer.class_name) == experiment.optimizer.class_name


def test_every_field_of_the_catalogue_has_words_of_an_experiment():
    assert set(RENDERED) == set(FIELDS)


@pytest.mark.parametrize(("code", "line"), LINES)
def test_a_line_stays_a_line_of_python_and_names_no_loss_or_optimizer_but_the_experiment_s(code, line):
    for loss in LOSSES:
        for optimizer in OPTIMIZERS:
            on = experiment(loss, optimizer)
            if not can_be_named(code, on):
                continue
            said = own_words(line, on)
            assert not set("{}") & set(said)
            tree = ast.parse(said)
            names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
            assigned = {node.id for node in names if isinstance(node.ctx, ast.Store)}
            known = {*NAMES, "keras", "np", "tf", "softmax", "sigmoid", "float", "sum", "len", "range", "zip"}
            in_general = {node.id for node in ast.walk(ast.parse(general(line))) if isinstance(node, ast.Name)}
            assert {node.id for node in names} <= known | assigned | in_general
            if "keras.optimizers." in said:
                assert f"keras.optimizers.{on.optimizer.class_name}(" in said
            if "reduction='sum'" in said:
                assert f"keras.losses.{on.loss.class_name}(" in said


@pytest.mark.parametrize(
    ("code", "choice", "field", "settings", "said"),
    [
        (
            "gradient.output_activation",
            "missing",
            "fix_candidate",
            {"loss": "mse"},
            "dz = p * (dp - (dp * p).sum(axis=-1, keepdims=True))",
        ),
        ("gradient.hidden_activation", "missing", "fix_candidate", {}, "dz = da * (1 - a**2)"),
        *(
            (code, choice, "fix_reference", {"optimizer": of}, f"optimizer = keras.optimizers.{said}")
            for code, choice, of, said in [
                ("adam.square_share", "10", "Adam", "Adam(learning_rate=lr, beta_2=0.99)"),
                ("adam.gradient_share", "0.5", "Adam", "Adam(learning_rate=lr, beta_1=0.95)"),
                ("adam.betas", "exchanged", "Adam", "Adam(learning_rate=lr, beta_1=0.999, beta_2=0.9)"),
                ("adam.epsilon_scale", "100", "Adam", "Adam(learning_rate=lr, epsilon=1e-05)"),
                ("adam.gradient_share", "10", "Adam", "Adam(learning_rate=lr, beta_1=0.0)"),
                ("rmsprop.square_share", "0.5", "RMSprop", "RMSprop(learning_rate=lr, rho=0.95)"),
                (
                    "rmsprop.momentum",
                    "5/9",
                    {"class_name": "RMSprop", "momentum": 0.9},
                    "RMSprop(learning_rate=lr, momentum=0.5)",
                ),
                (
                    "rmsprop.added_momentum",
                    "0.9",
                    {"class_name": "RMSprop", "rho": 0.8},
                    "RMSprop(learning_rate=lr, momentum=0.9, rho=0.8)",
                ),
                (
                    "sgd.added_momentum",
                    "0.9",
                    {"class_name": "SGD", "nesterov": True},
                    "SGD(learning_rate=lr, momentum=0.9, nesterov=True)",
                ),
                (
                    "weight_decay.decoupled",
                    "0.004",
                    {"class_name": "Adam", "beta_1": 0.8},
                    "Adam(learning_rate=lr, weight_decay=0.004, beta_1=0.8)",
                ),
                (
                    "learning_rate.decay",
                    "0.001",
                    {"class_name": "SGD", "momentum": 0.9},
                    f"SGD(learning_rate={SCHEDULE}, momentum=0.9)  # in float32, whatever the model is in",
                ),
                ("rmsprop.centered", "flipped", "RMSprop", "RMSprop(learning_rate=lr, centered=True)"),
                (
                    "rmsprop.centered",
                    "flipped",
                    {"class_name": "RMSprop", "centered": True, "rho": 0.8},
                    "RMSprop(learning_rate=lr, centered=False, rho=0.8)",
                ),
                (
                    "momentum.factor",
                    "5/9",
                    {"class_name": "SGD", "momentum": 0.9},
                    "SGD(learning_rate=lr, momentum=0.5)",
                ),
            ]
        ),
        ("momentum.factor", "ignored", "fix_candidate", {}, "m = mu * m - lr * g; w += mu * m - lr * g"),
        (
            "loss.factor",
            "half",
            "fix_candidate",
            {"loss": {"class_name": "CategoricalCrossentropy", "label_smoothing": 0.1}},
            "y = y * (1 - 0.1) + 0.1 / C; loss = -np.sum(y * np.log(p), axis=-1).mean(); dz = (p - y) / len(p)",
        ),
        (
            "loss.batch",
            "sum",
            "fix_reference",
            {"loss": {"class_name": "CategoricalCrossentropy", "label_smoothing": 0.1}},
            "loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1, reduction='sum')",
        ),
        (
            "loss.batch",
            "sum",
            "fix_reference",
            {"loss": "SumSquaredError"},
            "loss = lambda y, p: keras.ops.sum(keras.ops.square(y - p))",
        ),
        (
            "loss.factor",
            "half",
            "fix_candidate",
            {"loss": "categorical_crossentropy"},
            "loss = -np.sum(y * np.log(p), axis=-1).mean(); dz = (p - y) / len(p)",
        ),
        (
            "loss.reported",
            "half",
            "fix_reference",
            {"loss": "SumSquaredError"},
            f"loss = lambda y, p: (l := {SUM_SQUARED}) - keras.ops.stop_gradient(l) / 2",
        ),
        (
            "loss.log",
            "clip_1e-8",
            "fix_reference",
            {"loss": "bce"},
            f"loss = lambda y, p: (l := {OF_BOTH}) + keras.ops.stop_gradient({LOG_OF_BOTH} - l)",
        ),
        (
            "optimizer.constants",
            "exact",
            "fix_reference",
            {"optimizer": OPTIMIZERS[0]},
            "optimizer = keras.optimizers.SGD(learning_rate=lr, momentum=np.float64(0.8), nesterov=True)",
        ),
    ],
)
def test_in_its_own_words(code, choice, field, settings, said):
    line = getattr(convention(code).choice(choice), field)
    assert own_words(line, experiment(**settings)) == said != general(line)


def test_keras_takes_what_is_said(keras):
    for optimizer in OPTIMIZERS:
        on = experiment("categorical_crossentropy", optimizer)
        for code in ("l2.decay", "optimizer.constants", "momentum.dampening", *OF_RMSPROP, "adam.epsilon_value"):
            for choice in convention(code).choices:
                line = choice.fix_reference
                if not line or not can_be_named(code, on):
                    continue
                call = ast.parse(own_words(line, on)).body[0].value
                made = getattr(keras.optimizers, call.func.attr)
                inspect.signature(made).bind(**{keyword.arg: None for keyword in call.keywords})


# Losses: what the line computes is what Keras does ------------------------------------------------------------------

IN_NUMPY = [
    (loss, output)
    for loss in (
        "MeanSquaredError",
        "SumSquaredError",
        "CategoricalCrossentropy",
        "SparseCategoricalCrossentropy",
        "BinaryCrossentropy",
        {"class_name": "CategoricalCrossentropy", "label_smoothing": 0.2},
        {"class_name": "BinaryCrossentropy", "label_smoothing": 0.2},
        {"class_name": "CategoricalCrossentropy", "from_logits": True},
        {"class_name": "BinaryCrossentropy", "from_logits": True},
    )
    for output in ("softmax", "sigmoid", "tanh", "linear")
    if "from_logits" not in loss or output in {"tanh", "linear"}  # Keras warns of the others
]
TOLD = ("loss.factor", "gradient.shortcut")  # whose lines have the loss and its derivative, and the derivative alone
PHI = {"softmax": softmax, "sigmoid": sigmoid, "tanh": np.tanh, "linear": lambda z: z}


def in_numpy(line, on, z, p, y):
    """What the line assigns, and dz where it says dp."""
    names = {"np": np, "softmax": softmax, "sigmoid": sigmoid, "z": z, "p": p, "y": y, "labels": y, "C": 3}
    exec(own_words(line, on), names)  # noqa: S102  # a line of the catalogue, run as it is to be copied
    if "dz" not in names:
        exec(own_words(convention("gradient.output_activation").choices[0].fix_candidate, on), names)  # noqa: S102  # a line of the catalogue, run as it is to be copied
    return names


ROUNDING = 100 * 2**-53  # some ten operations a line, of which none loses more than a digit to cancellation


def in_keras(on, z, y, keras, runtime):
    """The mean of the loss, and its derivative by z."""
    runtime.set_precision("float64")
    model, told = build(on, 2, "float64"), runtime.tf.constant(z)
    with runtime.tf.GradientTape() as tape:
        tape.watch(told)
        loss = keras.ops.mean(model.loss(y, model.layers[-1].activation(told)))
    return loss, tape.gradient(loss, told)


def one_layer(loss, output):
    on = experiment(loss)
    return on.model_copy(update={"layers": (on.layers[-1].model_copy(update={"activation": output}),)})


def targets(on):
    labels = np.array([0, 2, 1, 1])
    return labels if on.loss.class_name.startswith("Sparse") else np.eye(3)[labels]


@pytest.mark.parametrize(("loss", "output"), IN_NUMPY)
def test_a_loss_in_numpy_is_keras_s_with_its_derivative(loss, output, keras, runtime):
    """Of outputs that are probabilities, or as good as: z is between 0.2 and 0.8, also where it is the output."""
    on = one_layer(loss, output)
    z, y = np.random.default_rng(0).uniform(0.2, 0.8, size=(4, 3)), targets(on)
    loss, gradient = in_keras(on, z, y, keras, runtime)
    dz, dz_alone = (in_numpy(convention(code).choices[0].fix_candidate, on, z, PHI[output](z), y) for code in TOLD)
    np.testing.assert_allclose(dz["loss"], loss, rtol=ROUNDING)
    np.testing.assert_allclose(dz["dz"], gradient, rtol=ROUNDING)
    np.testing.assert_array_equal(dz_alone["dz"], dz["dz"])


@pytest.mark.parametrize("loss", [loss for loss, output in IN_NUMPY if output == "softmax" and "Cross" in str(loss)])
def test_a_crossentropy_of_clipped_probabilities_is_keras_s(loss, keras, runtime):
    """Outputs below 0 and above 1 are clipped."""
    on = one_layer(loss, "linear")
    z, y = np.random.default_rng(0).uniform(-0.2, 1.2, size=(4, 3)), targets(on)
    assert (z < 0).any()
    assert (z > 1).any()
    loss, gradient = in_keras(on, z, y, keras, runtime)
    found = in_numpy(convention("loss.clip").choices[0].fix_candidate, on, z, z, y)
    np.testing.assert_allclose(found["loss"], loss, rtol=ROUNDING)
    np.testing.assert_allclose(found["dz"], gradient, rtol=ROUNDING)


@pytest.mark.parametrize("loss", [loss for loss, output in IN_NUMPY if output == "softmax" and "Cross" in str(loss)])
@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_a_crossentropy_of_logits_is_keras_s(loss, output, keras, runtime):
    """Also where the exponentials would overflow."""
    on = one_layer(loss, output)
    y = targets(on)
    for size in (1, 800):
        z = np.random.default_rng(0).uniform(-size, size, size=(4, 3))
        loss, gradient = in_keras(on, z, y, keras, runtime)
        found = in_numpy(convention("loss.input").choices[0].fix_candidate, on, z, PHI[output](z), y)
        np.testing.assert_allclose(found["loss"], loss, rtol=ROUNDING)
        np.testing.assert_allclose(found["dz"], gradient, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("loss", [loss for loss, output in IN_NUMPY if output == "softmax" and "Cross" in str(loss)])
@pytest.mark.parametrize(("choice", "q"), [("plus_1e-8", "p + 1e-8"), ("clip_1e-7", "np.clip(p, 1e-7, 1 - 1e-7)")])
def test_keras_tells_a_logarithm_of_probabilities_and_derives_its_own(loss, choice, q, keras, runtime):
    """Also where outputs are saturated."""
    binary = "Binary" in str(loss)
    on = one_layer(loss, output := "sigmoid" if binary else "softmax")
    z, y = np.random.default_rng(1).uniform(-40, 40, size=(4, 3)), targets(on)
    usual, gradient = in_keras(on, z, y, keras, runtime)
    exec(own_words(convention("loss.log").choice(choice).fix_reference, on), names := {"keras": keras, "C": 3})  # noqa: S102  # a line of the catalogue, run as it is to be copied
    on_them = build(on, 2, "float64").layers[-1].activation
    with runtime.tf.GradientTape() as tape:
        tape.watch(given := runtime.tf.constant(z))
        told = keras.ops.mean(names["loss"](runtime.tf.constant(y), on_them(given)))
    np.testing.assert_allclose(tape.gradient(told, given), gradient, rtol=ROUNDING)

    s = getattr(on.loss, "label_smoothing", 0)
    y = y if y.ndim == 2 else np.eye(3)[y]
    p, y = PHI[output](z), y * (1 - s) + s / (2 if binary else 3)
    first, rest = (eval(of, {"np": np, "p": p}) for of in (q, f"1 - {q}"))  # noqa: S307  # written above
    each = y * np.log(first) + ((1 - y) * np.log(rest) if binary else 0)
    expected = -(each.mean() if binary else each.sum(axis=1).mean())
    np.testing.assert_allclose(told, expected, rtol=2**-53 / 1e-8)  # what 1 - p loses
    assert abs(told - usual) > 0.1


# Regularizers -------------------------------------------------------------------------------------------------------

N, BATCH = 20, 4
PLACES = [("kernel_regularizer", 0), ("bias_regularizer", 0), ("kernel_regularizer", 1), ("activity_regularizer", 1)]
GIVEN = [{"l1": 0.003, "l2": 0.02}, {"l2": 0.05}, {"l1": 0.004}, {"l1": 0.01, "l2": 0.03}]


def regularized(factors):
    """A network with these in `PLACES`; one without any factor is none."""
    layers = [{"units": 3, "bias_initializer": "ones"}, {"units": 2, "activation": "tanh"}]
    for (place, layer), of_place in zip(PLACES, factors, strict=True):
        if any(of_place.values()):
            layers[layer][place] = of_place
    return experiment("mse").model_copy(
        update={"layers": validate({**TABLE, "layers": layers, "loss": "mse", "data": REGRESSION}).layers}
    )


def times(factor, places=PLACES, kinds=("l1", "l2")):
    """The regularizers with this for the l1 and l2 of some of them."""
    return [
        given | ({kind: factor * own for kind, own in given.items() if kind in kinds} if place in places else {})
        for given, place in zip(GIVEN, PLACES, strict=True)
    ]


def l2_times(factor, places=PLACES):
    return times(factor, places, ("l2",))


def l1_times(factor, places=PLACES):
    return times(factor, places, ("l1",))


WEIGHTS, OWN_BIAS, OUTPUTS = PLACES[:3], PLACES[1:2], PLACES[3:]
ABSENT, HALF = l2_times(0), l2_times(1 / 2)
OF_BIAS = [GIVEN[0], {"l1": 0.003, "l2": 0.07}, *GIVEN[2:]]
SUMMED = [*GIVEN[:3], {"l1": BATCH * 0.01, "l2": BATCH * 0.03}]
# choice -> the regularizers whose penalty the loss then has, and those whose gradient.
REGULARIZERS = {
    ("l2.penalty", "half"): (HALF, HALF),
    ("l2.penalty", "absent"): (ABSENT, ABSENT),
    ("l2.penalty", "1/3"): (l2_times(1 / 3), l2_times(1 / 3)),
    ("l2.scale", "over_batch"): (l2_times(1 / BATCH, WEIGHTS), l2_times(1 / BATCH, WEIGHTS)),
    ("l2.scale", "over_dataset"): (l2_times(1 / N, WEIGHTS), l2_times(1 / N, WEIGHTS)),
    ("l2.bias", "included"): (OF_BIAS, OF_BIAS),
    ("l2.bias", "in_gradient"): (GIVEN, OF_BIAS),
    ("l2.gradient", "half"): (GIVEN, l2_times(1 / 2, WEIGHTS)),
    ("l2.gradient", "absent"): (GIVEN, l2_times(0, WEIGHTS)),
    ("l2.gradient", "double"): (GIVEN, l2_times(2, WEIGHTS)),
    ("l2.gradient", "over_batch"): (GIVEN, l2_times(1 / BATCH, WEIGHTS)),
    ("l2.gradient", "over_dataset"): (GIVEN, l2_times(1 / N, WEIGHTS)),
    ("l2.gradient", "0.3"): (GIVEN, l2_times(0.3, WEIGHTS)),
    ("l2.reported", "half"): (HALF, GIVEN),
    ("l2.reported", "3"): (l2_times(3), GIVEN),
    ("l2.reported", "absent"): (ABSENT, GIVEN),
    ("l2.constant", "exact"): (GIVEN, GIVEN),
    ("activity.batch", "sum"): (SUMMED, SUMMED),
    ("l1.penalty", "half"): (l1_times(1 / 2), l1_times(1 / 2)),
    ("l1.penalty", "absent"): (l1_times(0), l1_times(0)),
    ("l1.scale", "over_batch"): (l1_times(1 / BATCH, WEIGHTS), l1_times(1 / BATCH, WEIGHTS)),
    ("l1.scale", "over_dataset"): (l1_times(1 / N, WEIGHTS), l1_times(1 / N, WEIGHTS)),
    ("l1.gradient", "absent"): (GIVEN, l1_times(0, WEIGHTS)),
    ("l1.reported", "absent"): (l1_times(0), GIVEN),
    ("l1.constant", "exact"): (GIVEN, GIVEN),
    ("bias.penalty", "absent"): (times(0, OWN_BIAS), times(0, OWN_BIAS)),
    ("bias.penalty", "in_loss"): (GIVEN, times(0, OWN_BIAS)),
    ("bias.penalty", "in_gradient"): (times(0, OWN_BIAS), GIVEN),
    ("activity.penalty", "half"): (times(1 / 2, OUTPUTS), times(1 / 2, OUTPUTS)),
    ("activity.penalty", "absent"): (times(0, OUTPUTS), times(0, OUTPUTS)),
    ("activity.gradient", "absent"): (GIVEN, times(0, OUTPUTS)),
    ("activity.reported", "absent"): (times(0, OUTPUTS), GIVEN),
}


def penalty_and_gradient(model, runtime):
    x = runtime.tf.constant(np.linspace(-1, 1, BATCH * 3).reshape(BATCH, 3))
    weights = model.trainable_variables
    with runtime.tf.GradientTape() as tape:
        model(x)
        penalty = sum(model.losses) + 0 * sum(runtime.tf.reduce_sum(one.value) for one in weights)
    return float(penalty), [np.asarray(one) for one in tape.gradient(penalty, [one.value for one in weights])]


@pytest.mark.parametrize(("code", "choice"), REGULARIZERS)
def test_every_regularizer_of_the_experiment_is_named_and_keeps_what_is_its_own(code, choice, keras, runtime):
    line = own_words(convention(code).choice(choice).fix_reference, regularized(GIVEN))
    model, *of_others = (build(regularized(of), 3, "float64") for of in (GIVEN, *REGULARIZERS[code, choice]))
    names = {"model": model, "keras": keras, "N": N, "batch_size": BATCH, "lam": GIVEN[1]["l2"]}
    exec(line, names)  # noqa: S102  # a line of the catalogue, run as it is to be copied
    bias = model.layers[0].bias
    bias.regularizer = names.get("bias_regularizer", bias.regularizer)  # where the line is that argument: the one bias
    penalty, gradient = penalty_and_gradient(model, runtime)
    rounded = 2 * 2**-24  # Keras rounds each factor to float32, on both sides
    assert penalty == pytest.approx(penalty_and_gradient(of_others[0], runtime)[0], rel=rounded)
    for own, other in zip(gradient, penalty_and_gradient(of_others[1], runtime)[1], strict=True):
        np.testing.assert_allclose(own, other, rtol=rounded, atol=rounded * np.abs(other).max())


def test_regularizers_that_are_alike_are_told_in_one():
    for code, choice, said in (
        ("l2.penalty", "half", "kernel_regularizer=keras.regularizers.L2(lam / 2)"),
        (
            "l2.scale",
            "over_batch",
            "kernel_regularizer=lambda w: keras.regularizers.L2(lam)(w) / batch_size  # exact for full batches",
        ),
    ):
        assert own_words(convention(code).choice(choice).fix_reference, experiment()) == said
    alike = [{}, {"l2": 0.1}, {}, {}]
    line = convention("l2.penalty").choice("half").fix_reference
    assert own_words(line, regularized(alike)) == "bias_regularizer=keras.regularizers.L2(lam / 2)"
    two = [{"l2": 0.1}, {}, {"l2": 0.2}, {}]
    assert own_words(line, regularized(two)) == (
        "model.layers[0].kernel.regularizer = keras.regularizers.L2(0.1 / 2); "
        "model.layers[1].kernel.regularizer = keras.regularizers.L2(0.2 / 2)"
    )


def test_weight_decay_is_of_the_kernels_that_have_a_penalty_and_of_one_factor(keras):
    line = convention("l2.decay").choice("decoupled").fix_reference
    on = regularized([{"l2": 0.1}, {}, {}, {}])
    said = own_words(line, on)
    assert "var_list=[model.layers[1].kernel]" in said
    model = build(on, 3, "float64")
    exec(said, names := {"keras": keras, "model": model, "lr": 0.1, "lam": 0.1})  # noqa: S102  # a line of the catalogue, run as it is to be copied
    (optimizer := names["optimizer"]).build(weights := model.trainable_variables)
    assert [optimizer._use_weight_decay(weight) for weight in weights] == [True, False, False, False]
    for several in ([{"l2": 0.1}, {}, {"l2": 0.2}, {}], GIVEN, [{}, {"l2": 0.1}, {}, {}], [{"l1": 0.1}, {}, {}, {}]):
        assert own_words(line, regularized(several)).startswith("# no line does: Keras has one weight_decay")
