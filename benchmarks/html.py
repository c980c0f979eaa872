"""The report as one HTML file: sections, tables that can be sorted, a filter by machine; no file or address outside it.

Jinja2 escapes all that came out of a record; besides, the page's own policy lets the browser run the one script that
lies here, and fetch nothing. Without scripts, the page shows the same.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from benchmarks.report import TITLE, Report, sources_text
from benchmarks.table import MISSING
from edge.wording import counted

FOLDER = Path(__file__).parent / "page"
_NUMBER = re.compile(r"([+−-]?)(\d[\d,]*(?:\.\d+)?)(?: (kB|MB))?(?=[\s%×]|$)")
_UNITS = {None: 1.0, "kB": 1e3, "MB": 1e6}


def html_page(report: Report) -> str:
    """Return report.html."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"sort_value": sort_value, "code": _with_code, "counted": counted}
    script, style = _inline("report.js"), _inline("report.css")
    machines = [line.machine for section in report.sections for grid in section.grids for line in grid.lines]
    return environment.get_template("report.html.j2").render(
        title=TITLE,
        report=report,
        machines=sorted(set(machines) - {""}),
        sources=sources_text(report),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=style,
        missing=MISSING,
    )


def sort_value(cell: str) -> str:
    """Return the number that a cell is sorted by, as a text; empty where the cell does not begin with one.

    "66.43 % (64.8 to 68.0)" gives 66.43, "−0.22 (…)" -0.22, "999 kB" 999000, "0.80 / 0.88 / 0.92" 0.8; "3,589" 3589.
    """
    found = _NUMBER.match(cell)
    if found is None:
        return ""
    sign, digits, unit = found.groups()
    return repr((-1 if sign in ("−", "-") else 1) * float(digits.replace(",", "")) * _UNITS[unit])


def _inline(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _with_code(text: str) -> str:
    """Return an escaped text with what stands between backticks as code."""
    from markupsafe import Markup, escape

    parts = str(text).split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )
