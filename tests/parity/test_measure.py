"""The measures against a slow and plain oracle: one element at a time, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from parity.measure import MEASURES, Largest, identical, largest, largest_of_each, measure, measure_all, sizes
from parity.measure.block import Memory, least_sum
from parity.measure.rows import above

EXTREMES = ("absolute", "relative", "ulp", "used")
DTYPES = ("float32", "float64")


def exact(name: str, r: float, c: float, allowed: float, dtype: str) -> float:
    """One measure of one element by its definition; a NaN or infinity agrees only with the same one."""
    if not (math.isfinite(r) and math.isfinite(c)):
        return 0.0 if r == c or (math.isnan(r) and math.isnan(c)) else math.inf
    d = abs(c - r)
    divisor = {
        "absolute": 1.0,
        "relative": abs(r),
        "ulp": float(np.spacing(np.abs(np.array(r, dtype)))),
        "used": allowed,
    }[name]
    if d == 0:
        return 0.0
    with np.errstate(over="ignore"):
        return d / divisor if divisor else math.inf


def check(reference: np.ndarray, candidate: np.ndarray, budget: Any = None) -> None:
    """`measure` says what the definitions say."""
    rows = measure(reference, candidate, budget)
    assert rows.dtype == MEASURES
    assert len(rows) == len(reference)
    dtype = reference.dtype.name if reference.dtype.kind == "f" else "float64"
    allowed = None if budget is None else np.broadcast_to(budget, reference.shape)
    eps = float(np.finfo(dtype).eps)
    for step, row in enumerate(rows):
        r = reference[step].ravel().astype(np.float64)
        c = candidate[step].ravel().astype(np.float64)
        limits = np.zeros(r.size) if allowed is None else allowed[step].ravel().astype(np.float64)
        assert row["size"] == r.size
        for name in EXTREMES:
            found = row[name]
            if name == "used" and allowed is None:
                assert math.isnan(found["value"])
                continue
            each = [exact(name, *numbers, dtype) for numbers in zip(r, c, limits, strict=True)]
            if not each:
                assert found["value"] == 0
                continue
            at = int(found["index"])
            # which of two nearly equal ones is larger is decided in the dtype of the tensor
            largest = max(each)
            if largest > float(np.finfo(dtype).max):
                assert each[at] > 0.99 * float(np.finfo(dtype).max), name
            else:
                assert each[at] >= largest * (1 - 4 * eps), name
                assert at <= each.index(each[at]), name  # the first among equals
            assert found["value"] == pytest.approx(each[at], rel=4 * eps, abs=0), name
            np.testing.assert_array_equal([found["reference"], found["candidate"]], [r[at], c[at]])
        differences = [exact("absolute", *numbers, 0.0, dtype) for numbers in zip(r, c, strict=True)]
        with np.errstate(over="ignore", invalid="ignore"):
            rms = math.sqrt(np.mean(np.square(differences))) if r.size else 0.0
        assert row["rms"] == pytest.approx(rms, rel=1e-4, abs=1e-150)  # float64 has no squares of smaller numbers
        r_off, c_off = ~np.isfinite(r), ~np.isfinite(c)
        assert row["nonfinite_reference"] == r_off.sum()
        assert row["nonfinite_candidate"] == c_off.sum()
        assert row["nonfinite_both"] == sum(
            a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(r, c, strict=True) if not math.isfinite(a)
        )
        assert -1 <= row["cosine"] <= 1
        lost = np.abs(np.concatenate([r, c]))  # float64 has no squares of numbers below 1e-150
        if not (r_off.any() or c_off.any() or ((lost > 0) & (lost < 1e-150)).any()):
            assert row["cosine"] == pytest.approx(cosine(r, c), abs=1e-5)
        if allowed is not None:
            d = np.array(differences)
            sure, perhaps = d > limits * (1 + 4 * eps), d > limits * (1 - 4 * eps)
            assert sure.sum() <= row["beyond"] <= perhaps.sum()


def cosine(r: np.ndarray, c: np.ndarray) -> float:
    """<r, c> / (|r| |c|), scaled first so that no square leaves the range."""
    peaks = [float(np.abs(v).max(initial=0)) for v in (r, c)]
    if 0 in peaks:
        return float(peaks[0] == peaks[1])
    r, c = r / peaks[0], c / peaks[1]
    return float(r @ c / np.sqrt((r @ r) * (c @ c)))


SPECIAL = {
    "float32": [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-40, 2.0**-126, 1e38, -1e38, 1e-30, math.inf, -math.inf, math.nan],
    # squares of numbers below 1e-150 are lost in float64, the widest type there is
    "float64": [0.0, -0.0, 1.0, -1.0, 1e-100, 1e100, -1e100, math.inf, -math.inf, math.nan],
}
SHAPES = st.sampled_from([(1, 1), (1, 7), (3,), (2, 3), (2, 2, 3), (4, 9), (1, 33), (0, 3), (2, 0), (2, 3, 0)])


def values(dtype: str) -> st.SearchStrategy[float]:
    return st.sampled_from([float(np.array(x, dtype)) for x in SPECIAL[dtype]]) | st.integers(-3, 3).map(float)


@st.composite
def pairs(draw, *, finite: bool = False) -> tuple[np.ndarray, np.ndarray]:
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(SHAPES)
    elements = values(dtype).filter(math.isfinite) if finite else values(dtype)
    reference = draw(hnp.arrays(dtype, shape, elements=elements))
    candidate = reference.copy()
    for _ in range(draw(st.integers(0, 3)) if candidate.size else 0):  # a few elements changed, anywhere
        at = draw(st.integers(0, candidate.size - 1))
        change = draw(st.sampled_from(["value", "next", "add"]))
        flat = candidate.reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):
            if change == "value":
                flat[at] = draw(elements)
            elif change == "next":
                flat[at] = np.nextafter(flat[at], np.array(draw(st.sampled_from([-1e30, 1e30])), dtype))
            else:
                flat[at] += np.array(draw(st.floats(-1, 1, width=32)), dtype)
        if finite and not np.isfinite(flat[at]):
            flat[at] = 1
    return reference, candidate


@pytest.fixture(params=[1, 3, 8, None], ids=lambda size: f"block-{size or 'as-is'}")
def block(request, monkeypatch):
    """Blocks so small that every array has several."""
    if request.param:
        monkeypatch.setattr(sizes, "BLOCK", request.param)
        monkeypatch.setattr(sizes, "GLANCE", request.param)
        monkeypatch.setattr(sizes, "LONG", 4 * request.param)


class TestAgainstTheOracle:
    @pytest.mark.usefixtures("block")
    def test_without_budget(self):
        @given(pairs())
        def law(pair):
            check(*pair)

        law()

    @pytest.mark.usefixtures("block")
    def test_with_a_budget(self):
        @given(pairs(), st.data())
        def law(pair, data):
            reference, _ = pair
            budgets = st.sampled_from([0.0, 1e-7, 0.5, 1.0, 2.0, 1e30])
            tail = reference.shape[data.draw(st.integers(0, reference.ndim)) :]
            check(*pair, data.draw(hnp.arrays(np.float64, tail, elements=budgets)))

        law()

    @pytest.mark.usefixtures("block")
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("spot", [0, 1, 7, 8, 9, 22])
    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("who", ["reference", "candidate", "both", "each its own"])
    def test_one_number_that_is_none(self, dtype, spot, bad, who):
        r, c = np.ones((2, 23), dtype), np.ones((2, 23), dtype)
        c[1, 3] = 1.5
        if who in {"reference", "both", "each its own"}:
            r[1, spot] = bad
        if who in {"candidate", "both"}:
            c[1, spot] = bad
        if who == "each its own":
            c[1, spot] = 0 if math.isnan(bad) else -bad
        check(r, c)
        check(r, c, 1.0)
        row = measure(r, c, math.inf)[1]
        if who == "both":
            assert row["nonfinite_both"] == 1
            assert row["absolute"]["value"] == (0.5 if spot != 3 else 0)
        else:  # no budget is so large that it allows for it
            assert row["absolute"]["value"] == row["used"]["value"] == math.inf
            assert row["absolute"]["index"] == spot
            assert row["beyond"] == 1


def test_integers_and_booleans():
    check(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 7]]), 1.0)
    check(np.array([[1, 2]], np.int32), np.array([[-1, 2]], np.int32), 2.0)
    check(np.array([[True, False]]), np.array([[True, True]]), 0.0)
    check(np.array([[255, 0]], np.uint8), np.array([[0, 255]], np.uint8))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sizes_around_the_block(dtype):
    random = np.random.default_rng(1)
    for length in (sizes.BLOCK - 1, sizes.BLOCK, sizes.BLOCK + 1, 2 * sizes.BLOCK + 1):
        r = random.standard_normal((2, length)).astype(dtype)
        c = r.copy()
        c[1, -1] = np.nextafter(c[1, -1], np.array(9, dtype))
        rows = measure(r, c, 0.0)
        assert rows["absolute"]["value"][0] == 0
        assert rows["beyond"].tolist() == [0, 1]
        for name in EXTREMES:
            assert rows[name]["index"][1] == length - 1
        assert rows["ulp"]["value"][1] == pytest.approx(1, abs=0.6)


def test_a_long_row():
    random = np.random.default_rng(2)
    r = random.standard_normal((2, sizes.LONG + 5)).astype(np.float32)
    c = r.copy()
    c[0, [3, -1]] += np.float32(0.5)
    c[1, sizes.LONG // 2] = np.nan
    rows = measure(r, c, 0.25)
    assert rows["absolute"]["index"].tolist() == [np.abs(c[0] - r[0]).argmax(), sizes.LONG // 2]
    assert rows["beyond"].tolist() == [2, 1]
    assert rows["nonfinite_candidate"].tolist() == [0, 1]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 8, 9, 16, 17, 40])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_every_element_is_looked_at(steps, length, monkeypatch):
    """However rows are glanced at, put together and cut; what both sides lack is counted, too."""
    for name, size in {"GLANCE": 3, "BLOCK": 8, "LONG": 16}.items():
        monkeypatch.setattr(sizes, name, size)
    equal = np.ones((steps, length))
    for at in range(steps * length):
        other, none = equal.copy(), equal.copy()
        other.flat[at], none.flat[at] = 3, math.nan
        rows = measure(equal, other, 0.5)
        step, index = divmod(at, length)
        assert rows["absolute"]["value"].tolist() == [2.0 * (row == step) for row in range(steps)]
        assert rows["beyond"].tolist() == [row == step for row in range(steps)]
        assert rows["absolute"]["index"][step] == index
        assert measure(none, none.copy(), 0.5)["nonfinite_both"].tolist() == [row == step for row in range(steps)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-35, 1e-10, 1.0, 1e18])
def test_random_numbers_in_several_blocks(scale, dtype, monkeypatch):
    monkeypatch.setattr(sizes, "BLOCK", 8)
    random = np.random.default_rng(4)
    for length in (3, 20):
        r = (scale * random.standard_normal((4, length)) * 10 ** random.uniform(-2, 1, (4, length))).astype(dtype)
        c = (r * (1 + random.uniform(0, 1e-3, (4, length)))).astype(dtype)
        c[2] = r[2]
        check(r, c, scale * random.uniform(0, 1e-3, (4, length)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", ["smallest_subnormal", "smallest_normal", "eps", "max"])
def test_a_sieve_keeps_what_a_division_finds(scale, dtype):
    """Quotients within rounding of the largest before, and products that have lost digits."""
    random = np.random.default_rng(7)
    unit = float(getattr(np.finfo(dtype), scale)) / (2**16 if scale == "max" else 1)
    for factor in (0.3, 1.0, float(np.finfo(dtype).eps)):
        of = (unit * random.uniform(0, 16 / min(factor, 1) if scale != "max" else 16, 4000)).astype(dtype)
        d = of * of.dtype.type(factor)
        d = np.nextafter(
            d, random.choice(np.array([0, np.inf], dtype), of.shape), where=random.random(d.shape) < 0.5, out=d
        )
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            larger = np.divide(d, of) > factor
        assert larger.any()
        assert set(larger.nonzero()[0]) <= set(above(d, of, factor))


def test_a_sieve_with_a_factor_that_has_lost_its_digits():
    """1.6 of the smallest float32 is rounded to 2 of it, which 1.8 is not larger than."""
    smallest = float(np.finfo(np.float32).smallest_subnormal)
    d, of = np.array([1.8 * smallest * 2**20, 0, smallest], np.float32), np.array([2**20, 1, 0], np.float32)
    assert above(d, of, 1.6 * smallest).tolist() == [0, 2]


def test_nothing_is_not_larger_than_nothing():
    """Where a row is zero on both sides nothing passes through the sieve for it."""
    assert above(np.array([0, 2, 0], "float32"), np.array([0, 1, 1], "float32"), 1.0).tolist() == [1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("budget", [None, "float32", "float64"])
@pytest.mark.parametrize("scale", ["subnormal", "small", 1.0, "large"])
def test_what_a_sieve_lets_fall(scale, budget, dtype, monkeypatch):
    """Rows of many blocks with few large differences: later ones are larger in one measure and not in the others."""
    monkeypatch.setattr(sizes, "BLOCK", 32)
    limits = np.finfo(dtype)
    named = {"subnormal": limits.smallest_normal / 8, "small": float(limits.smallest_normal) ** 0.45, "large": 1e4}
    random = np.random.default_rng(6)
    for _ in range(40):
        spread = 10 ** random.uniform(-3, 1, (2, 400))
        r = (named.get(scale, scale) * random.standard_normal((2, 400)) * spread).astype(dtype)
        r[random.random(r.shape) < 0.02] = 0
        noise = random.choice([0, 2, 1000], r.shape, p=[0.5, 0.48, 0.02]) * random.standard_normal(r.shape)
        c = (r * (1 + float(limits.eps) * noise)).astype(dtype)
        c[random.random(r.shape) < 0.005] += limits.smallest_subnormal
        allowed = None
        if budget is not None:
            allowed = np.abs(r * 10 ** random.uniform(0, 3, r.shape) * float(limits.eps)).astype(budget)
        check(r, c, allowed)


def test_squares_that_overflow_far_to_the_right(monkeypatch):
    """A block that a sieve would let fall, whose sums are not those of its numbers."""
    monkeypatch.setattr(sizes, "BLOCK", 8)
    r = np.full((1, 19), float(np.finfo("float32").max) ** 0.6, "float32")
    c = r.copy()
    c[0, 2], c[0, 8:] = -r[0, 2], r[0, 8:] / 2
    check(r, c, 4 * r[0, 0])


@pytest.mark.parametrize("wrong", [-1.0, math.nan])
@pytest.mark.parametrize("at", [3, 12, 19])
def test_a_budget_is_looked_at_to_its_end(wrong, at, monkeypatch):
    monkeypatch.setattr(sizes, "BLOCK", 8)
    r, budget = np.ones((1, 20), np.float32), np.ones((1, 20), np.float32)
    budget[0, at] = wrong
    early, late = r * np.float32(1.125), r.copy()
    early[0, 0], late[0, [8, 16]] = 1.5, 1.5
    for c in (early, late):
        c[0, at] = 1  # nothing but its budget draws attention to that element
        with pytest.raises(ValueError, match="zero or positive"):
            measure(r, c, budget)


def test_a_budget_may_have_more_digits_than_the_tensor(monkeypatch):
    monkeypatch.setattr(sizes, "BLOCK", 8)
    r, budget = np.ones((1, 20), np.float32), np.ones((1, 20))
    r[0, 12], budget[0, 12] = 4, 1 - 2.0**-40
    c = r.copy()
    c[0, [2, 12]] += 1
    rows = measure(r, c, budget)
    assert (rows["beyond"].tolist(), rows["used"]["index"].tolist()) == ([1], [12])


def test_where_blocks_are_worked_out():
    """Each array has its place, which begins at a cache line, and no more room is kept than they take."""
    memory = Memory()
    for length in (*range(1, 70), 5, 1000):
        for count, dtype in ((1, np.float64), (3, np.float32)):
            arrays = memory.arrays(count, (length,), np.dtype(dtype))
            for number, array in enumerate(arrays):
                assert (array.shape, array.dtype) == ((length,), dtype)
                assert array.ctypes.data % 64 == 0
                array[:] = number
            assert all((array == number).all() for number, array in enumerate(arrays))
    assert memory._bytes.nbytes < 3 * 4000 + 4 * 64 + 64


@pytest.mark.parametrize("factor", [1e-8, 0.4, 0.6, 1.0, 1.6, 2.5, 1e8])
def test_the_cosine_is_that_of_the_angle_whatever_the_lengths(factor):
    """Rows of an angle with cosine 0.6, of opposite directions, and of the same one."""
    r = np.array([[1.0, 0.0], [0.3, 0.7], [0.3, 0.7], [0.1, 0.9]])
    c = factor * np.array([[0.6, 0.8], [-0.3, -0.7], [0.3, 0.7 + 1e-9], [-0.1, -0.9]])
    found = measure(r, c)["cosine"]
    np.testing.assert_allclose(found, [0.6, -1, 1, -1], rtol=0, atol=8 * 2.0**-53)  # of eight roundings
    many = np.random.default_rng(6).standard_normal((1000, 3))
    for sign in (1, -1):
        assert (np.abs(measure(many, sign * factor * many)["cosine"]) <= 1).all()


def test_the_cosine_of_each_row_among_others():
    """Lengths that are far apart in some rows, and in some of several tensors."""
    angle = [(np.array([[1.0, 0.0]]), factor * np.array([[0.6, 0.8]])) for factor in (1, 1e8, 1, 4, 1e-8)]
    together = measure_all((r, c, None) for r, c in angle)
    stacked = measure(*(np.concatenate(side) for side in zip(*angle, strict=True)))
    for found in (np.concatenate(together), stacked):
        np.testing.assert_allclose(found["cosine"], 0.6, rtol=0, atol=8 * 2.0**-53)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("angle", "factor"), [(0, 2), (0, 0.5), (1e-4, 1), (1e-3, 1), (1e-2, 1)])
def test_the_cosine_of_a_small_angle_has_more_digits_than_the_tensor(angle, factor, dtype):
    random = np.random.default_rng(3)
    r = random.standard_normal((50, 200)).astype(dtype)
    c = (factor * (r + angle * random.standard_normal(r.shape))).astype(dtype)
    expected = [cosine(*rows) for rows in zip(r.astype(np.float64), c.astype(np.float64), strict=True)]
    np.testing.assert_allclose(measure(r, c)["cosine"], expected, rtol=0, atol=1e-7 * angle + 1e-15)


@pytest.mark.parametrize("factor", [2.0**-27, 0.375, 2.5, 2.0**27])
def test_the_cosine_of_a_right_angle_is_zero_where_lengths_are_apart(factor):
    r = np.random.default_rng(5).integers(1, 9, (100, 2)) * 1.0
    assert (measure(r, factor * np.stack((-r[:, 1], r[:, 0]), axis=1))["cosine"] == 0).all()


@given(pairs())
def test_nothing_is_ever_negative(pair):
    rows = measure(*pair, 1.0)
    for name in EXTREMES:
        assert (rows[name]["value"] >= 0).all()
    assert (rows["rms"] >= 0).all()
    assert (rows["beyond"] >= 0).all()


@given(pairs(finite=True))
def test_equal_arrays_give_zeros(pair):
    reference, _ = pair
    for rows in (measure(reference, reference, 0.0), measure(reference, reference.copy(), 0.0)):
        for name in EXTREMES:
            assert (rows[name]["value"] == 0).all()
        assert (rows["rms"] == 0).all()
        assert (rows["cosine"] == 1).all()
        assert (rows["beyond"] == 0).all()


@given(pairs(finite=True))
def test_both_ways_round_the_difference_is_the_same(pair):
    there, back = measure(*pair), measure(*reversed(pair))
    np.testing.assert_array_equal(there["absolute"]["value"], back["absolute"]["value"])
    np.testing.assert_array_equal(there["rms"], back["rms"])


@given(pairs())
def test_each_step_is_measured_by_itself(pair):
    reference, candidate = pair
    alone = [measure(reference[[step]], candidate[[step]], 0.5) for step in range(len(reference))]
    assert measure(reference, candidate, 0.5).tobytes() == b"".join(rows.tobytes() for rows in alone)


@given(pairs())
def test_the_layout_in_memory_does_not_matter(pair):
    reference, candidate = pair
    fortran = measure(np.asfortranarray(reference), np.asfortranarray(candidate), 0.5)
    assert fortran.tobytes() == measure(reference, candidate, 0.5).tobytes()


@given(pairs(), st.integers(1, 9))
def test_the_length_of_a_block_does_not_matter(pair, size):
    """What is chosen and counted does not depend on where the blocks end."""
    whole = measure(*pair, 0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "BLOCK", size)
        patch.setattr(sizes, "LONG", 2 * size)
        parts = measure(*pair, 0.5)
    for name in EXTREMES:
        assert parts[name].tobytes() == whole[name].tobytes()
    for name in ("beyond", "nonfinite_reference", "nonfinite_candidate", "nonfinite_both", "size"):
        np.testing.assert_array_equal(parts[name], whole[name])


@pytest.mark.parametrize("dtype", ["float16", *DTYPES])
@pytest.mark.parametrize("share", [None, 4, 1])
def test_of_ulp_differences_that_overflow_the_largest_is_told(share, dtype):
    """4 and its next are both more ulp of zero than the dtype can say; so are the two largest numbers that it has."""
    large = np.array(np.finfo(dtype).max / share if share else 4, dtype)
    a, b = np.sort([large, np.nextafter(large, np.array(3, dtype) if share else np.array(5, dtype))])
    r, c = np.array([[0, 0, 0], [1, 1, 1]], dtype), np.array([[a, b, 0], [1, 1, 2]], dtype)
    for rows in (measure(r, c), measure(r[:1], c[:1])):
        told = rows["ulp"][0]
        assert (told["index"], told["candidate"]) == (1, b)


@pytest.mark.parametrize("dtype", ["float16", *DTYPES])
def test_of_equal_numbers_of_ulp_the_first_is_told(dtype):
    """Whatever the other digits of the reference."""
    ulp = np.finfo(dtype).eps
    r = np.array([[1 + ulp, 1.5, 1]], dtype)
    row = measure(r, r + 3 * ulp)[0]
    assert (row["ulp"]["value"], row["ulp"]["index"]) == (3, 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_number_of_ulp_is_larger_than_infinity(dtype):
    """Whoever asks for the smallest tolerance must not be told a finite one where a NaN stands on one side."""
    row = measure(np.zeros((1, 3), dtype), np.array([[4, math.nan, 5]], dtype))[0]
    assert (row["ulp"]["value"], row["ulp"]["index"]) == (math.inf, 1)


@pytest.mark.parametrize("columns", [3, 700])
def test_one_array_held_against_itself_tells_only_what_is_not_finite(columns):
    array = np.ones((2, columns))
    array[1, -1] = np.nan
    rows = measure(array, array, 0.0)
    assert rows["nonfinite_both"].tolist() == [0, 1]
    assert rows.tobytes() == measure(array, array.copy(), 0.0).tobytes()


def test_views_that_overlap_are_not_taken_for_one_array():
    numbers = np.arange(9.0)
    rows = measure(numbers[None, :-1], numbers[None, 1:], 0.5)
    assert (rows["absolute"]["value"], rows["beyond"]) == (1, 8)


@given(hnp.arrays("float64", (2, 5), elements=st.sampled_from([0.0, -0.0, 1.0, math.nan])), st.integers(0, 9))
def test_identical_means_every_bit(array, at):
    assert identical(array, array.copy())
    other = array.copy()
    other.reshape(-1).view(np.uint64)[at] ^= 1
    assert not identical(array, other)
    assert not identical(np.tile(array, (1, 400)), np.hstack([np.tile(array, (1, 399)), other]))  # far to the right


def test_minus_zero_is_zero():
    rows = measure(np.array([[0.0, -0.0, 1]]), np.array([[-0.0, 0.0, 1]]), 0.0)
    assert rows["absolute"]["value"] == rows["used"]["value"] == rows["ulp"]["value"] == 0


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_beyond_a_budget_of_zero_is_everything_but_equality(zero):
    """Of either sign: a difference over minus zero is minus infinity, which is less than any budget."""
    (row,) = measure(np.array([[1.0, 2.0, 4.0]]), np.array([[1.0, 3.0, 2.0]]), zero)
    assert (row["used"]["value"], row["used"]["index"], row["beyond"]) == (np.inf, 1, 2)


@pytest.mark.parametrize("tiny", [1e-45, 1e-40, 1e-38])
def test_anything_is_infinitely_more_than_zero(tiny):
    r, c = np.array([[0.0, 1.0, 0.0]], np.float32), np.array([[0.0, 2.0, tiny]], np.float32)
    found = measure(r, c)["relative"][0]
    assert (found["value"], found["index"]) == (math.inf, 2)


@pytest.mark.parametrize("small", [1e-24, 1.2e-21])
def test_small_differences_are_not_lost_in_their_squares(small):
    r = np.full((1, 4), small, np.float32)
    assert measure(r, 2 * r)["rms"] == pytest.approx(small, rel=1e-6, abs=0)
    assert measure(r, -r)["cosine"] == pytest.approx(-1)
    r[0, 0] = 1  # beside a large number
    c = r.copy()
    c[0, 1] = 3 * small
    assert measure(r, c)["rms"] == pytest.approx(small, rel=1e-6, abs=0)


@pytest.mark.parametrize("small", [1e-24, 1.2e-21])
def test_small_differences_are_not_lost_far_to_the_right(small, monkeypatch):
    monkeypatch.setattr(sizes, "BLOCK", 8)
    r = np.full((1, 24), small, np.float32)
    r[0, ::8] = 1
    c = r.copy()
    c[0, 1::8] = 3 * small
    assert measure(r, c)["rms"] == pytest.approx(small / math.sqrt(2), rel=1e-6, abs=0)


def test_the_least_sum_of_squares_is_taken_again_with_more_digits(monkeypatch):
    """As any smaller one, in the first block and in later ones."""
    monkeypatch.setattr(sizes, "BLOCK", 4)
    d = np.array([[2.0**-52, 2.0**-52, 2.0**-70, 0]], np.float32)
    assert np.vecdot(d, d) == least_sum(d.dtype)
    rms = np.sqrt(np.square(d, dtype=np.float64).mean())
    for r in (d, np.hstack([d, 4 * d])):
        assert measure(r, r + np.resize(d, r.shape))["rms"] == pytest.approx(rms, rel=1e-13, abs=0)


def test_large_differences_are_not_lost_in_their_squares():
    r = np.full((1, 4), 3e38, np.float32)
    row = measure(r, -r)[0]
    assert row["absolute"]["value"] == pytest.approx(6e38)  # which no float32 can hold
    assert row["rms"] == pytest.approx(6e38)
    assert row["cosine"] == pytest.approx(-1)
    assert row["nonfinite_reference"] == 0


@pytest.mark.parametrize("budget", [-1.0, math.nan, -1e-300])
@pytest.mark.parametrize("form", ["number", "array", "one of many", "function"])
def test_a_bad_budget_is_refused(budget, form):
    """A NaN would pass everything."""
    r, c = np.zeros((2, 3)), np.ones((2, 3))
    limit: Any = {
        "number": budget,
        "array": np.full((2, 3), budget),
        "one of many": np.array([[1.0, 1.0, 1.0], [1.0, budget, 1.0]]),
        "function": lambda steps: np.full((len(steps), 3), budget),
    }[form]
    with pytest.raises(ValueError, match="a budget must be"):
        measure(r, c, limit)


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.sampled_from([2, sizes.GLANCE + 1]))
def test_a_budget_is_computed_only_for_steps_that_differ(changed, width):
    r = np.zeros((len(changed), width))
    c = r.copy()
    c[:, -1] += changed
    asked: list[int] = []

    def budget(steps: np.ndarray) -> np.ndarray:
        asked.extend(steps.tolist())
        return 0.25 * (1 + steps)[:, None] * np.ones(width)

    rows = measure(r, c, budget)
    assert asked == np.flatnonzero(changed).tolist()
    for step, differs in enumerate(changed):
        assert rows["used"]["value"][step] == (4 / (1 + step) if differs else 0)


def test_a_function_may_have_no_budget():
    rows = measure(np.zeros((2, 3)), np.array([[0, 0, 0], [0, 1.0, 0]]), lambda _: None)
    assert math.isnan(rows["used"]["value"][1])
    assert rows["absolute"]["value"].tolist() == [0, 1]
    assert rows["used"]["index"].tolist() == [0, 0]


def test_a_little_more_than_the_budget_is_more_also_in_float32():
    """The quotient is not rounded to the tensor's dtype; exactly the budget is within it."""
    r, c = np.zeros((1, 3), np.float32), np.array([[1, 2, 3]], np.float32)
    row = measure(r, c, np.array([1 / (1 + 1e-9), 2, 4]))[0]
    assert row["used"]["value"] == pytest.approx(1 + 1e-9, abs=1e-12)
    assert (row["used"]["index"], row["beyond"]) == (0, 1)


@pytest.mark.parametrize(
    ("one", "other"), [(math.nan, math.inf), (math.inf, -math.inf), (math.nan, 1.0), (math.inf, 1.0)]
)
def test_two_kinds_of_nonfinite_numbers_are_not_the_same(one, other):
    for pair in ((one, other), (other, one)):
        r, c = (np.array([[1.0, number]]) for number in pair)
        row = measure(r, c, math.inf)[0]
        assert (row["absolute"]["value"], row["used"]["value"], row["nonfinite_both"]) == (math.inf, math.inf, 0)


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros((2, 3)), np.zeros((2, 3, 1))),
        (np.zeros((2, 3)), np.zeros((2, 1))),
        (np.zeros((2, 3), np.float32), np.zeros((2, 3))),
        (np.zeros((2, 3)), np.zeros((2, 3), np.int64)),
    ],
)
def test_other_shapes_and_dtypes_are_refused(reference, candidate):
    with pytest.raises(ValueError, match="expected"):
        measure(reference, candidate, 1.0)


@pytest.mark.parametrize(
    "budget", [np.ones((1, 3)), np.ones((2, 3)), np.ones(3), np.ones((2, 1)), 1.0, np.ones((1, 1))]
)
@pytest.mark.parametrize("steps", [[0], [1], [0, 1]])
def test_a_budget_of_any_shape_that_fits(budget, steps):
    r, c = np.zeros((2, 3)), np.zeros((2, 3))
    c[steps, 1] = 0.5
    assert measure(r, c, budget)["used"]["value"].tolist() == [0.5 if step in steps else 0 for step in (0, 1)]


def test_a_budget_is_that_of_its_own_step():
    """Of three steps the first is equal, so the rows of the budget have to be chosen as well."""
    r, c = np.zeros((3, 2)), np.array([[0, 0], [0, 1.0], [3.0, 0]])
    used = measure(r, c, np.array([[1.0, 1], [1, 4], [6, 1]]))["used"]
    assert used["value"].tolist() == [0, 0.25, 0.5]
    assert used["index"].tolist() == [0, 1, 0]


@pytest.mark.parametrize("judged", [True, False])
def test_the_largest_of_all_steps(judged):
    rows = measure(np.ones((3, 2)), np.array([[1, 1], [1, 3], [2, 1.5]]), 0.5 if judged else None)
    assert largest(rows)[:3] == (2, 2, 2 / np.spacing(1.0))
    np.testing.assert_equal(largest(rows).used, 4.0 if judged else math.nan)
    np.testing.assert_equal(largest(rows[:0]), Largest(*[math.nan] * 4))


@pytest.mark.parametrize("glance", [0, 3, 1000])
def test_identical_looks_at_every_element(glance, monkeypatch):
    monkeypatch.setattr(sizes, "BLOCK", 2)
    monkeypatch.setattr(sizes, "GLANCE", glance)
    array = np.arange(45.0).reshape(5, 9)
    assert identical(array, array.copy())
    assert identical(array.T, array.copy().T)
    for at in range(45):
        other = array.copy()
        other.flat[at] += 1
        assert not identical(array, other), at


def test_half_precision_is_measured_in_its_own_ulp():
    row = measure(np.array([[1, 1000, 8]], np.float16), np.array([[1, 1001, 8 + 2**-7]], np.float16))[0]
    assert (row["ulp"]["value"], row["ulp"]["index"]) == (2, 1)  # 1000 lies between 512 and 1024: an ulp is 1 / 2
    assert (row["absolute"]["value"], row["relative"]["value"]) == (1, 1e-3)


def test_the_cosine_of_nothing_is_that_of_its_equal_alone():
    assert measure(np.array([[0.0, 0.0]]), np.array([[-0.0, 0.0]]))["cosine"] == 1
    assert measure(np.array([[0.0, 0.0]]), np.array([[0.0, 2.0]]))["cosine"] == 0


@given(st.lists(st.tuples(pairs(), st.sampled_from([None, 0.0, 0.5, lambda _: None, lambda _: 2.0])), max_size=5))
def test_tensors_measured_together_are_measured_each_by_itself(asked):
    """Whatever their dtypes and numbers of steps, to the last bit."""
    together = measure_all((*pair, budget) for pair, budget in asked)
    alone = [measure(*pair, budget) for pair, budget in asked]
    assert [rows.tobytes() for rows in together] == [rows.tobytes() for rows in alone]


@given(st.lists(pairs().filter(lambda pair: len(pair[0]) > 0), min_size=1, max_size=5))
def test_the_largest_of_each_table(asked):
    tables = [measure(*pair, 0.5) for pair in asked]
    np.testing.assert_array_equal(largest_of_each(tables), [largest(rows) for rows in tables])
