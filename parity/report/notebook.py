"""What a notebook shows of a result: the verdict, the first divergence, the causes with their fixes, the tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parity.report import causes, facts, steps

if TYPE_CHECKING:
    from parity.result import Result

_SHOWN = 12  # entries of a list
_COLOUR = {"PARITY": "#1a7f37", "DIVERGED": "#cf222e", "CANNOT_JUDGE": "#9a6700"}

# Without colours of its own for text and background, so that it is readable in light and dark notebooks.
_TEMPLATE = """\
<div class="keras-parity" style="max-width: 70em">
<p><strong style="color: {{ colour }}">{{ verdict }}</strong>{{ meaning }}</p>
{%- macro pairs(title, rows, open=true) %}{% if rows %}
<details{{ " open" if open }}><summary><strong>{{ title }}</strong></summary>
<table><tbody>
{%- for label, text in rows[:shown] %}
<tr><th style="text-align: left; vertical-align: top">{{ label }}</th><td style="text-align: left">{{ text }}</td></tr>
{%- endfor %}
{%- if rows | length > shown %}
<tr><th></th><td style="text-align: left">and {{ rows | length - shown }} more</td></tr>
{%- endif %}
</tbody></table></details>
{%- endif %}{% endmacro %}
{{- pairs("Compared", subject) }}
{{- pairs("First divergence", divergence) }}
{%- for title, rows in causes %}{{ pairs(title, rows) }}{% endfor %}
{{- pairs("Precisions", runs) }}
{%- for table in tables %}
<details><summary><strong>{{ table.precision }}: steps by tensors</strong></summary>
<table><thead><tr><th>phase</th><th>tensor</th><th>local</th>
{%- for step in table.steps %}<th>step {{ step }}</th>{% endfor %}</tr></thead><tbody>
{%- for row in table.rows %}
<tr><td>{{ row.key.phase }}</td><td style="text-align: left">{{ row.key.tensor }}
{%- if row.key.part != "whole" %} ({{ row.key.part }}){% endif %}</td><td>
{%- if row.local.beyond %}<strong>{{ row.local }}</strong>{% else %}{{ row.local }}{% endif %}</td>
{%- for figure in row.free %}<td>{{ figure }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></details>
{%- endfor %}
{{- pairs("Not compared", missing, open=false) }}
</div>
"""


def html(result: Result) -> str:
    """The result as a piece of HTML; every name in it is escaped."""
    from jinja2 import Environment  # noqa: PLC0415  # only notebooks need it

    verdict, _, meaning = facts.headline(result).partition(": ")
    first = result.first_divergence
    return (
        Environment(autoescape=True)
        .from_string(_TEMPLATE)
        .render(
            shown=_SHOWN,
            colour=_COLOUR[result.verdict],
            verdict=verdict,
            meaning=f": {meaning}",
            subject=list(facts.subject(result)),
            divergence=[] if first is None else list(facts.divergence(first)),
            causes=list(causes.sections(result.diagnosis)),
            runs=list(facts.runs(result)),
            tables=[steps.table(run) for run in result.runs],
            missing=[(item.what, item.why) for item in result.not_compared],
        )
    )
