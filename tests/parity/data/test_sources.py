"""Each source of examples, read from real files; what is wrong with a file is said in words."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.config import Experiment, validate
from parity.data import Dataset, load_dataset
from parity.data.sources import read_idx
from parity.errors import UsageError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (7, 4, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2, 2], np.uint8)


def experiment(data: dict[str, Any], units: int = 1, loss: str = "mse", **more: Any) -> Experiment:
    return validate({"data": data, "layers": [{"units": units}], "loss": loss, "optimizer": "sgd", **more})


def load(data: dict[str, Any], units: int = 1, loss: str = "mse") -> Dataset:
    return load_dataset(experiment(data, units, loss))


def refused(data: dict[str, Any], units: int = 1, loss: str = "mse") -> str:
    with pytest.raises(UsageError) as caught:
        load(data, units, loss)
    return str(caught.value)


def write_idx(path: Path, array: np.ndarray) -> None:
    """The IDX format as its page describes it: yann.lecun.com/exdb/mnist, "the IDX file format"."""
    codes = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
    content = struct.pack(">HBB", 0, codes[array.dtype.str[1:]], array.ndim)
    content += struct.pack(f">{array.ndim}I", *array.shape)
    content += array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


# MNIST ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4)])
def test_idx_of_every_kind(tmp_path, kind, suffix, shape):
    array = RANDOM.integers(-100, 100, shape).astype(kind)
    path = tmp_path / f"a-ubyte{suffix}"
    write_idx(path, array)
    np.testing.assert_array_equal(read_idx(path), array)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(("split", "stem"), [("train", "train"), ("test", "t10k")])
def test_mnist_in_idx_files(tmp_path, suffix, split, stem):
    write_idx(tmp_path / f"{stem}-images-idx3-ubyte{suffix}", IMAGES)
    write_idx(tmp_path / f"{stem}-labels-idx1-ubyte{suffix}", LABELS)
    found = load(
        {"source": "mnist", "path": str(tmp_path), "split": split, "scale": 255, "one_hot": 3, "samples": 5},
        units=3,
        loss="categorical_crossentropy",
    )
    np.testing.assert_array_equal(found.x, IMAGES.reshape(7, 12)[:5] / 255)
    np.testing.assert_array_equal(found.y, np.eye(3)[LABELS[:5]])


@pytest.mark.parametrize("place", ["file", "folder", "variable", "keras"])
def test_mnist_as_keras_keeps_it(tmp_path, monkeypatch, place):
    monkeypatch.delenv("PARITY_MNIST", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "nothing"))
    folder = tmp_path / "datasets"
    folder.mkdir()
    np.savez(folder / "mnist.npz", x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:2], y_test=LABELS[:2])
    settings: dict[str, Any] = {"source": "mnist", "split": "test"}
    match place:
        case "file":
            settings["path"] = str(folder / "mnist.npz")
        case "folder":
            settings["path"] = str(folder)
        case "variable":
            monkeypatch.setenv("PARITY_MNIST", str(folder))
        case "keras":
            monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    found = load(settings, units=3, loss="sparse_categorical_crossentropy")
    np.testing.assert_array_equal(found.x, IMAGES[:2].reshape(2, 12))
    np.testing.assert_array_equal(found.y, LABELS[:2])


def test_mnist_of_which_one_file_was_unpacked(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", IMAGES)
    write_idx(tmp_path / "train-labels-idx1-ubyte", LABELS)
    found = load({"source": "mnist", "path": str(tmp_path)})
    np.testing.assert_array_equal(found.y[:, 0], LABELS)


def test_missing_mnist_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("PARITY_MNIST", str(tmp_path / "here"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "there"))
    told = refused({"source": "mnist"})
    assert "MNIST (train) was not found in" in told
    assert str(tmp_path / "here") in told
    assert str(tmp_path / "there" / "datasets") in told
    assert "PARITY_MNIST" in told


def test_missing_mnist_says_that_the_other_images_are_there(tmp_path):
    for part in ("images-idx3", "labels-idx1"):
        write_idx(tmp_path / f"t10k-{part}-ubyte.gz", IMAGES)
    told = refused({"source": "mnist", "path": str(tmp_path)})
    assert f'{tmp_path} has the other images: data.split = "test"' in told


def test_the_real_mnist(mnist):
    """10,000 test images, 784 bytes each; the counts of the labels are those of the distribution."""
    settings = {"source": "mnist", "split": "test", "scale": 255, "path": str(mnist)}
    found = load(settings, units=10, loss="sparse_categorical_crossentropy")
    assert found.x.shape == (10_000, 784)
    assert (found.x.min(), found.x.max()) == (0, 1)
    np.testing.assert_array_equal(np.bincount(found.y), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])


GOOD_IDX = struct.pack(">HBBI", 0, 8, 1, 3) + b"abc"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a", b"", "not an IDX file: it is empty"),
        ("a", b"\0\0", "not an IDX file: it begins with 0x0000"),
        ("a", b"hello, this is text", "not an IDX file: it begins with 0x68656c6c"),
        ("a", struct.pack(">HBBI", 0, 7, 1, 3) + b"abc", "not an IDX file: it begins with 0x00000701"),
        ("a", GOOD_IDX[:-1], "cut short: the header says 3, which are 3 bytes; 2 follow"),
        ("a", GOOD_IDX + b"d", "too long: the header says 3, which are 3 bytes; 4 follow"),
        ("a", struct.pack(">HBB", 0, 8, 3), "cut short: 4 bytes, and the header of 3 dimensions alone has 16"),
        ("a", struct.pack(">HBBII", 0, 13, 2, 2, 3), "the header says 2 x 3, which are 24 bytes; 0 follow"),
        ("a.gz", GOOD_IDX, "not readable as IDX: "),  # not gzipped
        ("a.gz", gzip.compress(GOOD_IDX, mtime=0)[:-9], "not readable as IDX: "),
        ("a.gz", gzip.compress(GOOD_IDX, mtime=0)[:10] + b"\xff" * 20, "not readable as IDX: "),  # no deflate stream
    ],
)
def test_a_file_that_is_no_idx(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_where_a_relative_file_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for settings in ({"source": "npz", "path": "a/b.npz"}, {"source": "csv", "path": "a/b.npz", "target": "y"}):
        assert f"a/b.npz: no such file; looked for from {tmp_path}" in refused(settings)
    assert "was not found in: '.'. Set" in refused({"source": "mnist", "path": "."})


# Files of other kinds ---------------------------------------------------------------------------------------------


def test_npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, inputs=IMAGES, labels=LABELS, other=np.zeros(1))
    found = load({"source": "npz", "path": str(path), "x": "inputs", "y": "labels"})
    np.testing.assert_array_equal(found.x, IMAGES.reshape(7, 12))
    np.testing.assert_array_equal(found.y, LABELS[:, None])
    assert found.x.dtype == found.y.dtype == np.float64
    assert "has no array x; it holds inputs, labels, other" in refused(
        {"source": "npz", "path": str(path), "y": "labels"}
    )


def save_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, IMAGES)


def save_corrupt(path: Path) -> None:
    np.savez_compressed(path, x=RANDOM.random((200, 3)), y=np.zeros(200))
    content = bytearray(path.read_bytes())
    content[100:300] = b"\xff" * 200
    path.write_bytes(content)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"hello there"),
        lambda path: path.write_bytes(b"PK\3\4 hello there"),
        lambda path: np.savez(path, x=np.array([{"a": 1}], object), y=np.zeros(1)),
        save_npy,
        save_corrupt,
    ],
    ids=["empty", "text", "broken zip", "pickled objects", "lone npy", "corrupt"],
)
def test_a_file_that_is_no_npz(tmp_path, write):
    path = tmp_path / "a.npz"
    write(path)
    told = refused({"source": "npz", "path": str(path)})
    assert f"{path}: not readable as npz" in told


def test_python_objects_are_not_taken_for_another_kind_of_file(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([[1, "a"]], object), y=np.zeros(1))
    assert "it holds Python objects" in refused({"source": "npz", "path": str(path)})


def test_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,c,d\n1,2,3,4\n5,6,7,8.5\n")
    for target in ("d", 3, -1):
        found = load({"source": "csv", "path": str(path), "target": target})
        np.testing.assert_array_equal(found.x, [[1, 2, 3], [5, 6, 7]])
        np.testing.assert_array_equal(found.y, [[4], [8.5]])
    found = load({"source": "csv", "path": str(path), "target": ["a", 2]}, units=2)
    np.testing.assert_array_equal(found.x, [[2, 4], [6, 8.5]])
    np.testing.assert_array_equal(found.y, [[1, 3], [5, 7]])


@pytest.mark.parametrize(
    ("content", "target", "said"),
    [
        (b"a,b\n1,2\n", "c", "has no column 'c'; it has a, b"),
        (b"a,b\n1,2\n", 2, "has no column 2"),
        (b"a,b\n1,2\n", -3, "has no column -3"),
        (b"a,b\n1,two\n", "a", "not numeric: b"),
        (b"a,b\n1,2\n3,\n", "a", "no number in row 2 after the header, column b"),
        (b"a,b\n1,2\n3\n", "a", "no number in row 2 after the header, column b"),
        (b"a,b\n1,2\n3,nan\n", "a", "no number in row 2 after the header, column b"),
        (b"a,b\n1,2\n3,inf\n", "a", "data: x is not finite at [1, 0]: inf"),
        (b"0,0,1\n3,4,5\n", -1, "begins with numbers, not with names of columns"),
        (b"x,label,label\n1,2,3\n", "label", "two columns have the same name: label"),
        (b"x,label\n1,2\n", "labels", "did you mean 'label'?"),
        (b"a,b\n1,2\n", ["a", "b"], "data: x is empty"),
        (b"a,b\n", "a", "has no rows"),
        (b"a,b\n1,2\n", ["a", 0], "data.target names a column twice: a"),
        (b"a,b\n1,2,3\n4,5,6\n", "b", "its rows have more values than the header has names"),
        (b"0.5,1\n3,4\n", -1, "begins with numbers, not with names of columns"),
        (b"", "a", "is empty; a table begins with a header line, the names of its columns"),
        (b"a,b\n1,2,3,4\n5\n6,7,8,9,10\n", "a", "not readable as CSV"),
        (b"\xff\xfe\x00\x01", "a", "not readable as CSV"),
    ],
)
def test_a_table_that_will_not_do(tmp_path, content, target, said):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    told = refused({"source": "csv", "path": str(path), "target": target})
    assert any(words in told for words in said.split("|")), told


def test_a_comma_at_the_end_of_every_row_moves_no_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2,\n4,5,\n")
    np.testing.assert_array_equal(load({"source": "csv", "path": str(path), "target": "b"}).x, [[1], [4]])


@pytest.mark.parametrize(
    "content", ["a, b, y\n1, 0, 3\n", "\ufeffa,b,y\r\n1,0,3\r\n", '"a","b","y"\n1,False,3\n', "a,b,y\n\n1,0,3\n\n"]
)
def test_tables_as_other_programs_write_them(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8", newline="")
    found = load({"source": "csv", "path": str(path), "target": "y"})
    np.testing.assert_array_equal(found.x, [[1, 0]])
    np.testing.assert_array_equal(found.y, [[3]])


def test_a_packed_table(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,y\n1,3\n"))
    np.testing.assert_array_equal(load({"source": "csv", "path": str(path), "target": "y"}).x, [[1]])


def test_a_table_keeps_every_bit(tmp_path):
    """As Python and C write and read numbers, so that other programs are given the same examples."""
    values = RANDOM.standard_normal(1000) * 10.0 ** RANDOM.integers(-300, 300, 1000)
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "".join(f"{value!r},1\n" for value in values.tolist()))
    np.testing.assert_array_equal(load({"source": "csv", "path": str(path), "target": "y"}).x[:, 0], values)


@pytest.mark.parametrize(("header", "target"), [("0,1", 1), ("2019,2020", "2020")])
def test_columns_may_be_called_by_numbers(tmp_path, header, target):
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n3,4\n")
    np.testing.assert_array_equal(load({"source": "csv", "path": str(path), "target": target}).x, [[3]])


@pytest.mark.parametrize("source", [{"source": "npz"}, {"source": "csv", "target": 0}, {"source": "mnist"}])
def test_a_missing_file(tmp_path, source):
    path = tmp_path / "nowhere.bin"
    told = refused({**source, "path": str(path)})
    assert str(path) in told
    assert "no such file" in told or "was not found" in told


def test_a_folder_is_no_array(tmp_path):
    assert f"{tmp_path}: a folder; expected an npz file" in refused({"source": "npz", "path": str(tmp_path)})


# Without files ----------------------------------------------------------------------------------------------------


# SHA-256 of the bytes that scikit-learn 1.7 ships (parity/data/README.md); the class counts are the test part's in
# https://archive.ics.uci.edu/dataset/80, file optdigits.names.
DIGITS_X = "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"
DIGITS_Y = "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0"


def test_digits_are_the_ones_they_were():
    found = load({"source": "digits", "scale": 16, "one_hot": 10}, units=10, loss="categorical_crossentropy")
    assert found.x.shape == (1797, 64)
    assert (found.x.min(), found.x.max()) == (0, 1)
    assert found.y.sum(axis=0).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    raw = load({"source": "digits"}, units=1)
    assert hashlib.sha256(raw.x.astype(np.uint8).tobytes()).hexdigest() == DIGITS_X
    assert hashlib.sha256(raw.y.astype(np.uint8).tobytes()).hexdigest() == DIGITS_Y


def test_arrays():
    found = load({"source": "arrays", "x": [[1, 2], [3, 4]], "y": [5, 6]})
    np.testing.assert_array_equal(found.x, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(found.y, [[5], [6]])
    flat = load({"source": "arrays", "x": [1, 2, 3], "y": [[5, 6], [7, 8], [9, 10]]}, units=2)
    assert (flat.x.shape, flat.y.shape) == ((3, 1), (3, 2))


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ([[1, 2], [3]], [1, 2], "data.x: row 1 has 1, row 0 has 2"),
        ([1, [2]], [1, 2], "data.x.1: received [2]"),
        ([1, 2, 3], [1, 2], "x has 3 examples and y has 2"),
        ([], [], "data.x: received []"),
        ([[], []], [1, 2], "data.x.0: received []"),
        ([1, 2], [[], []], "data.y.0: received []"),
    ],
)
def test_arrays_that_will_not_do(x, y, said):
    assert said in refused({"source": "arrays", "x": x, "y": y})


@pytest.mark.parametrize("x", [np.ones((2, 2, 2)), np.ones((2, 0)), np.array(["a", "b"]), np.full(2, np.nan)])
def test_arrays_of_numpys_that_will_not_do(x):
    assert "data.x.0" in refused({"source": "arrays", "x": x, "y": [1, 2]})


def test_generated_regression_is_linear_but_for_its_noise():
    calm = {"source": "regression", "samples": 50, "features": 3, "targets": 2, "noise": 0}
    found = load(calm, units=2)
    _, residuals, rank, _ = np.linalg.lstsq(np.c_[found.x, np.ones(50)], found.y)
    assert rank == 4
    np.testing.assert_allclose(residuals, 0, atol=1e-20)
    again, other = load(calm, units=2), load({**calm, "seed": 1}, units=2)
    noisy = load({**calm, "noise": 0.5}, units=2)
    assert found.digest == again.digest != other.digest
    np.testing.assert_array_equal(noisy.x, found.x)
    assert 0.3 < (noisy.y - found.y).std() < 0.7


def test_generated_classes():
    settings = {"source": "classification", "samples": 400, "features": 2, "classes": 3}
    found = load(settings, units=3, loss="sparse_categorical_crossentropy")
    assert set(found.y.tolist()) == {0, 1, 2}
    for label in range(3):  # one cloud of unit variance each
        assert found.x[found.y == label].std(axis=0) == pytest.approx([1, 1], abs=0.2)


# What a network can be given --------------------------------------------------------------------------------------


def arrays_in(tmp_path: Path, x: Any, y: Any, **more: Any) -> dict[str, Any]:
    path = tmp_path / "made.npz"
    np.savez(path, x=x, y=y)
    return {"source": "npz", "path": str(path), **more}


SPARSE = "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    ("y", "more", "units", "loss", "said"),
    [
        ([0, 1, 3], {"one_hot": 3}, 3, "mse", "labels must be whole numbers from 0 to 2; received 0 to 3"),
        ([-1, 1, 2], {"one_hot": 3}, 3, "mse", "received -1 to 2"),
        ([0, 0.5, 1], {"one_hot": 3}, 3, "mse", "labels must be whole numbers"),
        ([0, 1e30, 1], {"one_hot": 3}, 3, "mse", "labels must be whole numbers"),
        ([[0, 1], [1, 0], [1, 1]], {"one_hot": 3}, 3, "mse", "expected one integer label an example"),
        ([0, 1, 2], {"one_hot": 3}, 2, "mse", "the last layer has 2 units and the targets have 3 columns"),
        ([0, 1, 2], {}, 3, "mse", "the targets have 1 columns; set data.one_hot = 3"),
        ([0, 1, 3], {}, 3, SPARSE, "one integer label from 0 to 2 an example"),
        ([0, 1, 0.5], {}, 3, SPARSE, "one integer label from 0 to 2"),
        ([0, 1, 1e30], {}, 3, SPARSE, "one integer label from 0 to 2"),
        ([0, 1, 2], {"one_hot": 3}, 3, SPARSE, "leave out data.one_hot"),
        ([0, np.nan, 2], {}, 1, "mse", "y is not finite at [1]: nan"),
        ([0, np.inf, 2], {}, 1, "mse", "y is not finite at [1]: inf"),
        ([0, 1], {}, 1, "mse", "x has 3 examples and y has 2"),
        (["a", "b", "c"], {}, 1, "mse", "y must be numbers, received dtype <U1"),
        ([0j, 1j, 2], {}, 1, "mse", "y must be numbers, received dtype complex128"),
        (5.0, {}, 1, "mse", "y is empty"),
        ([0, 1, 2], {"samples": 4}, 1, "mse", "there are only 3 examples"),
    ],
)
def test_targets_that_will_not_do(tmp_path, y, more, units, loss, said):
    assert said in refused(arrays_in(tmp_path, np.ones((3, 2)), y, **more), units, loss)


def test_inputs_that_are_not_finite(tmp_path):
    x = np.ones((3, 2, 2))
    x[2, 1, 0] = -np.inf
    assert "x is not finite at [2, 1, 0]: -inf" in refused(arrays_in(tmp_path, x, np.ones(3)))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"scale": 1e-320}, "data.scale = 1e-320: x, divided by it, is too large for float64"),
        ({"x": [[1e308]]}, r"data: x is too large for float32 at \[0, 0\]: 1e\+308"),
        ({"y": [1e39]}, r"data: y is too large for float32 at \[0, 0\]: 1e\+39"),
    ],
)
def test_numbers_that_are_too_large(more, said):
    data = {"source": "arrays", "x": [[1.0]], "y": [1.0], **more}
    experiment = validate({"data": data, "layers": [{"units": 1}], "loss": "mse", "optimizer": "sgd"})
    with pytest.raises(UsageError, match=said):
        load_dataset(experiment).astype("float32")


MOST = 2**31 - 1  # that an experiment can name of anything


@pytest.mark.parametrize(
    ("data", "units"),
    [
        ({"source": "regression", "features": MOST, "samples": MOST}, 1),
        ({"source": "regression", "features": MOST, "targets": MOST, "samples": 1}, 1),
        ({"source": "classification", "features": MOST, "classes": MOST}, 1),
        ({"source": "classification", "features": 3, "classes": 2, "one_hot": MOST}, 1),
        ({"source": "regression", "features": 3}, MOST),
    ],
)
def test_more_than_can_be_counted(data, units):
    layers = [{"units": units}, {"units": units}, {"units": 1}]
    experiment = validate({"data": data, "layers": layers, "loss": "mse", "optimizer": "sgd"})
    with pytest.raises(MemoryError):
        load_dataset(experiment)


def test_advice_to_encode_labels_is_given_for_labels_alone(tmp_path):
    assert "one_hot" not in refused(arrays_in(tmp_path, np.ones((3, 2)), [0, 0.5, 2]), 3)


def test_both_precisions_hold_the_same_examples_and_cannot_be_spoilt(tmp_path):
    found = load(arrays_in(tmp_path, RANDOM.random((4, 2)), [0, 1, 1, 0]), units=2, loss=SPARSE)
    for precision in ("float32", "float64"):
        given = found.astype(precision)
        assert given.x.dtype == precision
        assert given.y.dtype == np.int32
        np.testing.assert_array_equal(given.x, found.x.astype(precision))
        for array in (given.x, given.y):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_the_digest_tells_data_apart():
    x, y = np.arange(6.0).reshape(3, 2), np.arange(3.0)
    others = [(x.reshape(2, 3), y), (x, y.astype(np.float32)), (x + 1e-16, y), (x[::-1], y), (x, y + 1), (y, x)]
    assert Dataset(x, y).digest == Dataset(np.asfortranarray(x), y.copy()).digest
    assert len({Dataset(x, y).digest, *(Dataset(*pair).digest for pair in others)}) == 7
