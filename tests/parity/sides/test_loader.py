"""How a side is found by name."""

from __future__ import annotations

import sys

import pytest

from parity.errors import SideError, UsageError
from parity.sides import LoadedSide, load_side, stand_in_for
from parity.sides.guard import Guard

NET = """
class Net:
    def start(self, experiment, weights): ...
    def step(self, x, y): ...
    def weights(self): return {}
    def replay(self, reference): ...

class Choosy(Net):
    def __init__(self, choices=None): self.choices = choices or {}
    def with_conventions(self, choices):
        if "bogus" in choices: raise ValueError("no convention 'bogus'; there are a.b")
        return Choosy(choices)

class Half:
    def start(self, experiment, weights): ...

def factory(): return Net()
def forgetful(): return Net
instance = Net()
number = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mynet.py"
    path.write_text(NET)
    return path


@pytest.mark.parametrize("name", ["Net", "factory", "instance"])
def test_from_a_file(file, name):
    loaded = load_side(f"{file}:{name}")
    assert loaded.name == f"{file}:{name}"
    assert type(loaded.side).__name__ == "Net"
    assert loaded.can("replay")
    assert not loaded.can("steps")
    assert loaded.environment() == {}


def test_an_instance_is_taken_as_it_is_and_a_class_makes_a_new_one(file):
    made = load_side(f"{file}:instance").side
    assert type(made) is not type
    one, other = load_side(f"{file}:Net").side, load_side(f"{file}:Net").side
    assert one is not other


def test_a_path_may_have_brackets(tmp_path):
    folder = tmp_path / "b[x]"
    folder.mkdir()
    (folder / "mynet.py").write_text(NET)
    assert type(load_side(f"{folder}/mynet.py:Net").side).__name__ == "Net"
    assert load_side(f"{folder}/mynet.py:Choosy[a.b=c]").side.choices == {"a.b": "c"}


def test_from_a_module(file, monkeypatch):
    monkeypatch.syspath_prepend(file.parent)
    assert type(load_side("mynet:Net").side).__name__ == "Net"
    sys.modules.pop("mynet", None)


def test_a_file_can_import_its_neighbours(file):
    user = file.with_name("user.py")
    user.write_text("from mynet import Net as Mine\n")
    before = list(sys.path)
    assert type(load_side(f"{user}:Mine").side).__name__ == "Net"
    assert sys.path == before
    sys.modules.pop("mynet", None)


def test_the_built_in_ones():
    assert load_side("scratch").side.choices == {}
    assert load_side(" scratch[l2.penalty=half] ").side.choices == {"l2.penalty": "half"}
    assert load_side("scratch[ l2.penalty = half ]").side.choices == {"l2.penalty": "half"}
    assert load_side("scratch[]").side.choices == {}


@pytest.mark.usefixtures("runtime")
def test_the_reference():
    loaded = load_side("keras[l2.penalty=half]")
    assert loaded.can("steps")
    assert loaded.environment()["onednn"] == "off"


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("keras", "scratch"),
        ("keras[l2.penalty=half]", "scratch[l2.penalty=half]"),
        ("scratch[l1.penalty=half,l2.penalty=half]", "scratch[l1.penalty=half,l2.penalty=half]"),
    ],
)
def test_what_stands_in_for_a_reference_makes_its_choices(reference, name):
    assert stand_in_for(load_side(reference)) == name


def test_what_stands_in_for_a_stranger_makes_those_that_it_tells(file):
    assert stand_in_for(load_side(f"{file}:Net")) == "scratch"
    file.write_text(NET + "\nclass Told(Net):\n    def makes(self): return {'l2.constant': 'exact'}\n")
    assert stand_in_for(load_side(f"{file}:Told")) == "scratch[l2.constant=exact]"


def test_conventions_of_a_stranger(file):
    assert load_side(f"{file}:Choosy[a.b=c,d=e]").side.choices == {"a.b": "c", "d": "e"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "not readable"),
        ("scratch[", "is not known.*did you mean 'scratch'"),
        ("scratch[a=b]c", "is not known"),
        ("scrach", "'scrach' is not known; give keras, scratch,.*did you mean 'scratch'?"),
        ("kears", "did you mean 'keras'?"),
        ("FILE", "is not known"),
        ("FILE:", "is not known"),
        (":Net", "is not known"),
        ("FILE:Nett", "has no 'Nett'; did you mean 'Net'?"),
        ("FILE:Half", "has no method step, weights; a side needs start, step, weights"),
        ("FILE:forgetful", r"returned the class Net; return an object of it: Net\(\)"),
        ("FILE:number", "number|not callable|int"),
        ("FOLDER/nothing.py:Net", r"no such file.*mynet\.py"),
        ("nowhere_at_all.module:Net", "there is no module 'nowhere_at_all.module'"),
        ("parity.nowhere:Net", "parity.nowhere"),
        ("scratch[l2.penalty]", "expected code=choice, received 'l2.penalty'"),
        (
            "scratch[l3.penalty=half]",
            "no convention 'l3.penalty'; `parity conventions` lists all; did you mean 'l2.penalty'",
        ),
        ("scratch[l2.penalty=half,l2.penalty=absent]", "l2.penalty is given twice: half and absent"),
        ("scratch[l2.penalty=quarter]", "l2.penalty has no choice 'quarter'; there are whole, half"),
        ("FILE:Net[l2.penalty=half]", "offers no choice of conventions"),
        ("FILE:Choosy[bogus=1]", "no convention 'bogus'; there are a.b"),
    ],
)
def test_what_is_no_side(file, spec, said):
    spec = spec.replace("FILE", str(file)).replace("FOLDER", str(file.parent))
    with pytest.raises(UsageError, match=said):
        load_side(spec)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import nothing_of_the_kind\n", "nothing_of_the_kind"),
        ("def broken(:\n", "line 1"),
        ("raise RuntimeError('at import')\n", "at import"),
        ("class Net:\n    def __init__(self): raise RuntimeError('no luck')\n", "no luck"),
        ("class Net:\n    def __init__(self, needed): ...\n", "needed"),
    ],
)
def test_a_file_that_fails_says_so_without_a_traceback(tmp_path, content, said):
    from parity.errors import ParityError

    path = tmp_path / "broken.py"
    path.write_text(content)
    with pytest.raises(ParityError, match=said) as caught:
        load_side(f"{path}:Net")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("guard", "raised"), [(None, MemoryError), (Guard("mine"), SideError)])
def test_no_memory_left_is_the_experiments_fault_not_a_built_in_sides(guard, raised):
    class Greedy:
        def start(self, *_):
            raise MemoryError("12 GiB")

    with pytest.raises(raised):
        LoadedSide("greedy", Greedy(), guard).call("start", 0)
