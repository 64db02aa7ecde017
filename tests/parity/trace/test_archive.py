"""Arrays on disk: what is written is what is read, and nothing is believed of what others wrote."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from parity.errors import UsageError
from parity.trace.archive import read_arrays, write_arrays

DTYPES = st.sampled_from([np.dtype(text) for text in ("<f8", "<f4", "<i8", "<i4", "|u1", "|b1")])


@given(
    arrays=st.dictionaries(
        st.sampled_from(["x", "gradient/data:dense/kernel", "self"]),
        hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)),
        max_size=3,
    )
)
def test_what_is_written_is_read_bit_for_bit(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "arrays.npz"
    write_arrays(path, arrays)
    read = read_arrays(path)
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (read[name].dtype, read[name].shape, read[name].tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert not read[name].flags.writeable
    before = path.read_bytes()
    write_arrays(path, arrays)
    assert path.read_bytes() == before
    with np.load(path, allow_pickle=False) as stored:  # and NumPy alone reads it, too
        assert set(stored.files) == set(arrays)


def npy(array, **options) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


def archive(path, entries, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as written:
        for name, content in entries:
            written.writestr(name, content)
    return path


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


SOUND = npy(np.arange(3.0))
GIANT = SOUND.replace(b"(3,)", b"(3" + b"0" * 9 + b",)").replace(b" " * 9, b"", 1)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("entries", "method", "said"),
    [
        ([("x.npy", bytes(2**22))], zipfile.ZIP_DEFLATED, "holds more bytes than it has"),
        (
            [("x.npy", os.urandom(10**5)), ("y.npy", bytes(50))],
            zipfile.ZIP_DEFLATED,
            "is compressed; traces are not",
        ),
        ([("x.npy", GIANT)], zipfile.ZIP_STORED, "has 24 bytes, its shape"),
        ([("x.npy", SOUND), ("x.npy", SOUND)], zipfile.ZIP_STORED, "is there twice"),
        ([("x.txt", b"hello")], zipfile.ZIP_STORED, "is no .npy entry"),
        ([("x.npy", b"hello")], zipfile.ZIP_STORED, "not readable"),
        ([("x.npy", npy(np.array(["a"])))], zipfile.ZIP_STORED, "not numbers"),
        ([("x.npy", npy(np.zeros(2, complex)))], zipfile.ZIP_STORED, "not numbers"),
        ([("x.npy", SOUND[:-1])], zipfile.ZIP_STORED, "has 23 bytes"),
    ],
    ids=["bomb", "compressed", "giant", "twice", "text", "rubbish", "strings", "complex", "short"],
)
def test_an_archive_that_lies_is_one_line_that_names_it(tmp_path, entries, method, said):
    path = archive(tmp_path / "arrays.npz", entries, method)
    with pytest.raises(UsageError) as caught:
        read_arrays(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_nothing_is_unpickled(tmp_path):
    canary = tmp_path / "canary"
    objects = np.array([Canary(str(canary))], object)
    for content in (npy(objects, allow_pickle=True), pickle.dumps(objects)):
        path = archive(tmp_path / "arrays.npz", [("x.npy", content)])
        with pytest.raises(UsageError):
            read_arrays(path)
        path.write_bytes(content)
        with pytest.raises(UsageError):
            read_arrays(path)
    assert not canary.exists()
    with np.load(archive(path, [("x.npy", npy(objects, allow_pickle=True))]), allow_pickle=True) as stored:
        stored["x"]
    assert canary.exists()  # the test's own bait is one


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path):
    path = tmp_path / "arrays.npz"
    write_arrays(path, {"x": np.arange(4.0)})
    content = path.read_bytes()
    sound = read_arrays(path)["x"].tobytes()
    noticed = 0
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            read = read_arrays(path)
        except UsageError:
            noticed += 1
        else:
            assert [array.tobytes() for array in read.values()] == [sound]
    assert noticed > 4 * len(content)


def link(target):
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, link("/dev/zero"), link("sound.npz")], ids=["fifo", "folder", "device", "link"]
)
def test_what_is_no_plain_file_is_not_opened(tmp_path, make):
    write_arrays(tmp_path / "sound.npz", {"x": np.arange(4.0)})
    path = tmp_path / "other.npz"
    make(path)
    with pytest.raises(UsageError, match=r"other\.npz: is (a link|no plain file)"):
        read_arrays(path)


def test_objects_are_not_written(tmp_path):
    """NumPy would pickle them."""
    with pytest.raises(ValueError, match="odd: holds objects"):
        write_arrays(tmp_path / "some.npz", {"even": np.zeros(2), "odd": np.array([object()])})
    assert not (tmp_path / "some.npz").exists()
