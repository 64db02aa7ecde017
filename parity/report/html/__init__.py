"""The report as one HTML page that needs no network: the answer first, then what there is to look at.

Everything a name can come from is escaped, the data lie in a block that no browser runs, and the page's own policy
forbids it any script but those whose digests it names, and any connection.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

from parity.report import facts, outline
from parity.report.html.assets import own, packed, plotly, render
from parity.report.html.residual import residuals
from parity.report.html.series import series
from parity.report.meaning import meaning
from parity.report.place import whole
from parity.verdict import Verdict

if TYPE_CHECKING:
    from parity.report.entries import Entry
    from parity.report.outline import Section
    from parity.result import Result

__all__ = ["SIGNS", "page", "render", "write"]

SIGNS = {Verdict.PARITY: "check", Verdict.DIVERGED: "cross", Verdict.CANNOT_JUDGE: "question"}
_CONFIG = 20_000  # characters of an experiment; initial weights in a file can be long


def write(result: Result, stream: IO[str]) -> None:
    """The page."""
    stream.write(page(result))


def write_entries(entries: list[Entry], place: Path) -> None:
    """A page for each and an index; of one result in one file, its page alone."""
    from parity.report.suite import is_page, write_suite  # noqa: PLC0415  # it imports this module

    if len(entries) == 1 and entries[0].result is not None and is_page(place):
        with whole(place) as stream:
            stream.write(page(entries[0].result))
    else:
        write_suite(entries, place)


def page(result: Result, back: str = "") -> str:
    """The page as text.

    Args:
        result: what to tell.
        back: a page that lists this one.
    """
    first = result.first_divergence
    data = {
        "runs": [series(run) for run in result.runs if run.summaries],
        "residuals": residuals(result),
        "shown": None if first is None else first.precision,
    }
    sections = list(outline.sections(result))
    verdict, _, said = facts.headline(result).partition(": ")
    config = result.experiment.model_dump_json(indent=2)
    return render(
        "page.html.j2",
        scripts=[own("page.js")],
        unpacked=[plotly()],
        plotly=packed(plotly()),
        back=back,
        result=result,
        sign=SIGNS[result.verdict],
        verdict=verdict,
        meaning=said,
        together=meaning(result),
        told=_of(sections, "subject", "divergence", "cause", "next"),
        steps=next(section for section in sections if section.kind == "steps"),
        lists=[section for section in sections if section.kind in {"list", "long"}],
        made=_of(sections, "made")["made"],
        data=data,
        config=config[:_CONFIG],
        config_cut=max(0, len(config) - _CONFIG),
    )


def _of(sections: list[Section], *kinds: str) -> dict[str, list[Section]]:
    return {kind: [section for section in sections if section.kind == kind] for kind in kinds}
