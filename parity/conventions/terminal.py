"""What a person sees of the catalogue: one line a convention, or everything about one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from parity.conventions import NAMES, Choice, Convention

_WIDTH = 120  # where there is no terminal to ask
_WORD = re.compile(r"(?<![\w'])[^\W\d]\w*")  # not the s of Keras'


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=_WIDTH, highlight=False)


def overview(conventions: Sequence[Convention]) -> None:
    """A line for each convention."""
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    drawn.add_column("code", no_wrap=True)
    drawn.add_column("what is chosen")
    drawn.add_column("Keras' choice", no_wrap=True)
    drawn.add_column("other choices")
    for entry in conventions:
        others = ", ".join([*(choice.name for choice in entry.choices), *(["any number"] if entry.factor else [])])
        drawn.add_row(entry.code, entry.title, entry.keras.name, others)
    console = _console()
    console.print(drawn)
    console.print(Text(f"\n`parity conventions {conventions[0].code}` shows everything about one.", style="dim"))


def entry(convention: Convention) -> None:
    """Everything about one convention."""
    console, convention = _console(), convention.general()
    console.print(Text(f"{convention.code}: {convention.title}", style="bold"))
    for choice in convention.listed:
        console.print()
        console.print(_formulas(convention, choice))
        console.print()
        console.print(_pairs(("made by", choice.made_by), ("shows in", choice.shows)))
        _code(console, f"to make Keras choose {choice.name}", choice.fix_reference, choice.no_fix_reference)
        _code(console, f"to make NumPy choose {convention.keras.name}", choice.fix_candidate)
    links = [link for choice in convention.listed for link in choice.sources]
    console.print("\n  [dim]sources[/]")
    for source in dict.fromkeys([convention.keras.source, *links]):
        console.print(Text(f"    {source}"), soft_wrap=True)
    console.print()
    console.print(Padding(Text(f"where {_names(convention)}", style="dim"), (0, 0, 0, 2)))


def _formulas(convention: Convention, choice: Choice) -> Padding:
    """Both formulas side by side."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    drawn.add_column(f"{convention.keras.name} (Keras)", ratio=1, header_style="bold")
    drawn.add_column(choice.name, ratio=1, header_style="bold")
    drawn.add_row(Text(convention.keras.formula), Text(choice.formula))
    return Padding(drawn, (0, 0, 0, 2))


def _pairs(*pairs: tuple[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2), pad_edge=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for label, text in pairs:
        grid.add_row(f"  {label}", Text(text))
    return grid


def _code(console: Console, label: str, line: str, instead: str = "") -> None:
    """A line of code is never broken, so that it can be copied."""
    console.print(Text(f"  {label}", style="dim"))
    console.print(Text(f"    {line}") if line else Text(f"    no line does: {instead}"), soft_wrap=bool(line))


def _names(convention: Convention) -> str:
    """What the names mean that this entry uses."""
    choices = convention.listed
    lines = [convention.keras.formula]
    lines += [line for choice in choices for line in (choice.formula, choice.fix_reference, choice.fix_candidate)]
    used = set(_WORD.findall(" ".join(lines)))
    prose = _WORD.findall(" ".join(choice.shows for choice in choices))
    used |= {word for word in prose if len(word) <= 2 and word != "a"}  # in prose "weights" and "a" mean what they say
    return "; ".join(f"{name}: {meaning}" for name, meaning in NAMES.items() if name in used)
