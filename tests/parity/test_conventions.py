"""The catalogue: laws over every entry, and what is said of names that are none."""

from __future__ import annotations

import ast
import builtins
import copy
import importlib.util
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

import parity.conventions as package
from parity.conventions import NAMES, Convention, catalogue, convention, describe, select
from parity.conventions.template import FIELDS, fields_of, filled, general
from parity.errors import UsageError
from parity.protocol import PHASES
from scratch_net.conventions import CHOICES, KERAS_CHOICE

ROOT = Path(__file__).parents[2]
EACH = [
    pytest.param(entry, choice, id=f"{entry.code}={choice.name}")
    for entry in map(Convention.general, catalogue().values())
    for choice in entry.listed
]
CODE = [
    pytest.param(line, id=f"{param.id} {field}")
    for param in EACH
    for field in ("fix_reference", "fix_candidate")
    if (line := getattr(param.values[1], field))
]


@pytest.mark.parametrize(("entry", "choice"), EACH)
def test_every_field_says_something(entry, choice):
    for said in (choice.name, choice.formula, choice.made_by, choice.shows, choice.fix_candidate):
        assert said.strip()
    assert entry.title
    assert bool(choice.fix_reference) != bool(choice.no_fix_reference)


@pytest.mark.parametrize(("entry", "choice"), EACH)
def test_another_choice_computes_something_else(entry, choice):
    assert choice.name != entry.keras.name
    formulas = [entry.keras.formula, *(other.formula for other in entry.listed)]
    assert formulas.count(choice.formula) == 1


@pytest.mark.parametrize(("entry", "choice"), EACH)
def test_what_a_choice_shows_is_placed_in_a_phase(entry, choice):
    assert re.match(rf"({'|'.join(PHASES)}|initial weights)\b", choice.shows)


@pytest.mark.parametrize("line", CODE)
def test_a_fix_is_one_line_of_python_in_names_that_are_explained(line):
    tree = ast.parse(line)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    unexplained = {node.id for node in names} - own - called - set(NAMES) - set(dir(builtins)) - {"np", "keras", "tf"}
    assert not unexplained


def test_every_name_that_is_explained_is_used():
    fields = ("formula", "shows", "fix_reference", "fix_candidate")
    text = " ".join(getattr(param.values[1], field) for param in EACH for field in fields)
    text += " ".join(entry.keras.formula for entry in catalogue().values())
    assert set(NAMES) <= set(re.findall(r"[^\W\d]\w*", text))


# Fields -----------------------------------------------------------------------------------------------------------

TEMPLATES = [
    line
    for entry in catalogue().values()
    for choice in entry.listed
    for line in (choice.fix_reference, choice.fix_candidate)
]


def test_every_field_is_known_and_every_known_field_is_used():
    """Of a field that is not known the catalogue could not be read; see below."""
    assert {field for line in TEMPLATES for field, _ in fields_of(line)} == set(FIELDS)


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.code)
def test_no_field_is_left_in_the_general_form_and_none_stands_elsewhere(entry):
    assert not any(set("{}") & set(said) for said in (entry.title, entry.keras.formula))
    for choice, template in zip(entry.general().listed, entry.listed, strict=True):
        assert not any(set("{}") & set(said) for said in choice.model_dump(exclude={"sources"}).values())
        unchanged = {"fix_reference", "fix_candidate"}
        assert choice.model_dump(exclude=unchanged) == template.model_dump(exclude=unchanged)


def test_a_field_is_filled_with_its_general_form_at_hand():
    line = "rho = {rho:0.9}; x = {{'a': {optimizer:f(g(1), b=2)}}}"
    assert fields_of(line) == (("rho", "0.9"), ("optimizer", "f(g(1), b=2)"))
    assert filled(line, lambda field, own: f"<{field} {own}>") == "rho = <rho 0.9>; x = {'a': <optimizer f(g(1), b=2)>}"
    assert general(line) == "rho = 0.9; x = {'a': f(g(1), b=2)}"


@pytest.mark.parametrize(("entry", "choice"), EACH)
def test_every_source_can_be_looked_up(entry, choice):
    keras = Path(importlib.util.find_spec("keras").submodule_search_locations[0]).parent  # found, not imported
    assert (keras / entry.keras.source).is_file()
    for source in choice.sources:
        assert source.startswith("https://") or (keras / source).is_file() or (ROOT / source).is_file(), source


@pytest.mark.parametrize("code", [code for code in CHOICES if code in catalogue()])
def test_the_numpy_network_makes_choices_of_the_catalogue(code):
    assert KERAS_CHOICE[code] == convention(code).keras.name
    assert set(CHOICES[code]) <= {choice.name for choice in convention(code).choices}


def test_the_numpy_network_has_no_convention_that_the_catalogue_lacks():
    assert set(CHOICES) <= set(catalogue())


# What is refused --------------------------------------------------------------------------------------------------

GOOD = convention("l2.penalty").model_dump(mode="json")


def test_a_good_entry_is_read_again():
    assert Convention.model_validate(GOOD) == convention("l2.penalty")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: entry.pop("title"),
        lambda entry: entry.update(title=""),
        lambda entry: entry.update(title="two\nlines"),
        lambda entry: entry.update(code="penalty"),
        lambda entry: entry.update(remark="none"),
        lambda entry: entry.update(choices=[], factor=None),
        lambda entry: entry["keras"].pop("source"),
        lambda entry: entry["choices"][0].pop("made_by"),
        lambda entry: entry["choices"][0].update(shows=" "),
        lambda entry: entry["choices"][0].update(sources=[]),
        lambda entry: entry["choices"][0].update(fix_reference=""),
        lambda entry: entry["choices"][0].update(no_fix_reference="because"),
        lambda entry: entry["choices"][0].update(name="whole"),
        lambda entry: entry["choices"][0].update(fix_candidate="eps = {epsilom:1e-7}"),
        lambda entry: entry["choices"][0].update(fix_candidate="eps = {epsilon}"),
        lambda entry: entry["choices"][0].update(fix_reference="eps = {epsilon:1e-7"),
        lambda entry: entry["choices"].append(entry["choices"][0]),
    ],
)
def test_an_incomplete_or_doubled_entry_is_refused(spoil):
    entry = copy.deepcopy(GOOD)
    spoil(entry)
    with pytest.raises(ValidationError):
        Convention.model_validate(entry)


def test_a_code_in_two_files_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "catalogue"
    folder.mkdir()
    text = (Path(package.__file__).parent / "catalogue" / "precision.toml").read_text()
    (folder / "one.toml").write_text(text)
    monkeypatch.setattr(package, "files", lambda _: tmp_path)
    assert list(catalogue.__wrapped__()) == ["precision.compute", "precision.inputs"]
    (folder / "two.toml").write_text(text)
    with pytest.raises(ValueError, match=r"two\.toml: precision\.compute"):
        catalogue.__wrapped__()


def test_the_catalogue_is_read_once_and_never_changed():
    assert catalogue() is catalogue()
    with pytest.raises(TypeError):
        catalogue()["l2.penalty"] = None
    with pytest.raises(ValidationError):
        convention("l2.penalty").title = "another"


# What is looked up ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", catalogue())
def test_a_convention_is_found_by_its_code_and_by_its_beginning(code):
    assert convention(code).code == code
    assert select(code) == (convention(code),)
    family = select(code.partition(".")[0])
    assert convention(code) in family
    assert {entry.code.partition(".")[0] for entry in family} == {code.partition(".")[0]}


@pytest.mark.parametrize(
    ("look_up", "said"),
    [
        (lambda: convention("l2.penality"), "no convention 'l2.penality'; .*; did you mean 'l2.penalty'"),
        (lambda: convention("l2"), "no convention 'l2'"),
        (lambda: select("adm"), "no convention 'adm'; .*; did you mean 'adam'"),
        (lambda: select("l2."), "no convention 'l2.'"),
        (lambda: select(""), "no convention ''"),
        (
            lambda: describe("l2.penalty", "haf"),
            "l2.penalty has no choice 'haf' .*'whole'; there are half, absent, and any number, .*; did you mean 'half'",
        ),
        (lambda: describe("l2.penalty", "whole"), "no choice 'whole' beside Keras' own"),
    ],
)
def test_a_name_that_is_none_is_told_the_nearest(look_up, said):
    with pytest.raises(UsageError, match=said):
        look_up()


@pytest.mark.parametrize(("entry", "choice"), EACH)
def test_a_description_has_both_formulas_and_the_code(entry, choice):
    choice = choice.of_factor("1/3") if choice == entry.factor else choice
    said = describe(entry.code, choice.name)
    assert "\n" not in said
    for part in (entry.title, choice.formula, entry.keras.formula, f"{entry.code}={choice.name}"):
        assert part in said


@pytest.mark.parametrize("code", ["loss.pairs", "loss.reported"])
def test_pairs_are_those_of_any_loss(code):
    """The convention is found beneath each loss, and is told with the same formulas."""
    entry = convention(code)
    assert "**2" not in entry.keras.formula + entry.choice("all_pairs").formula
