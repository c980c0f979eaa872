"""The conversion's report for people: the table of all recipes, and one HTML page with plots that needs nothing else.

Every figure comes from the reports that ``convert.conversion`` writes beside the files. What a report does not have
(another recipe, an older version) leaves its section out.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from convert.reporting import plots
from convert.reporting.plots import Report
from convert.reporting.tables import rows_of
from edge.wording import counted

HEADINGS = (
    "recipe", "size", "accuracy", "drop in points (95 %)", "macro-F1", "agrees with network", "with float",
    "p50", "times as fast", "partitions", "outside XNNPACK",
)  # fmt: skip
MISSING = "–"
WORST = 10
CLOSEST = 6
LISTED = 4
WRAPPED_CHARACTERS = 26
Rows = list[tuple[str, ...]]
_STYLE = """
:root { color-scheme: light dark; --ink: #1d232b; --paper: #fff; --line: #d9dee5; --soft: #f4f6f9; --quiet: #56616d; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --paper: #14181d; --line: #333b45; --soft: #1c2229; --quiet: #a3adb9; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 78rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
p, li { max-width: 80ch; overflow-wrap: anywhere; }
.quiet { color: var(--quiet); font-size: .9rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; margin-bottom: .75rem; }
table { border-collapse: collapse; width: 100%; font-size: .82rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .5rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { background: var(--soft); font-weight: 600; vertical-align: bottom; min-width: 4rem; }
td { white-space: nowrap; }
td.wide { white-space: normal; min-width: 10rem; }
tbody tr:last-child td { border-bottom: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1.5rem 2rem;
  align-items: start; }
figure { margin: 0; max-width: 38rem; min-width: 0; }
figcaption { font-weight: 600; font-size: .95rem; margin-bottom: .3rem; }
figcaption span { display: block; font-weight: 400; font-size: .85rem; color: var(--quiet); }
svg { display: block; width: 100%; height: auto; }
code { overflow-wrap: anywhere; }
details { margin-top: 1rem; }
summary { cursor: pointer; }
"""


def table(reports: Sequence[Report], part: str | None = None) -> Rows:
    """One row of text a recipe, under ``HEADINGS``; what a report lacks is a dash.

    Args:
        reports: Of one conversion, one a recipe.
        part: Of the data set; None takes the first report's first, the one to decide on.

    Raises:
        ValueError: No report, two of one recipe, or a part that none has.
    """
    chosen = _parts(reports)[0] if part is None else part
    if chosen not in _parts(reports):
        raise ValueError(f"expected one of the parts {', '.join(_parts(reports))}; came {chosen!r}")
    return [_row(report, chosen) for report in reports]


def page(reports: Sequence[Report]) -> str:
    """The whole HTML page: no script, no file and no address outside it, readable in light and dark.

    Args:
        reports: Of one conversion, one a recipe, in the order of the tables.

    Raises:
        ValueError: No report, or two of one recipe.
    """
    parts = _parts(reports)
    name = reports[0]["source"]["name"]
    sections = [
        _summary(reports, parts),
        _notes(reports),
        _speed(reports, parts),
        _classes(reports, parts),
        _layers(reports),
        _tuning(reports),
        _delegation(reports),
        _facts(reports),
    ]
    body = "\n".join(section for section in sections if section)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(name)}: conversion</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{_text(name)}: what its conversion cost</h1>
<p class="quiet">{_text(_lead(reports[0]))}</p>
{body}
</body>
</html>
"""


def _parts(reports: Sequence[Report]) -> list[str]:
    """Measured parts in the first report's order, the part to decide on first."""
    recipes = [report["recipe"] for report in reports]
    if not recipes or len(set(recipes)) < len(recipes):
        raise ValueError(f"expected one report a recipe, one or more; came {', '.join(recipes) or 'none'}")
    return list(dict.fromkeys(part for report in reports for part in report["parts"]))


def _row(report: Report, part: str) -> tuple[str, ...]:
    found = report["parts"].get(part, {})
    latency, inspection = plots.latency_of(report) or {}, report.get("inspection", {})
    ratio = latency.get("ratio")
    file, drop = found.get("file", {}), found.get("drop_ci95")
    speed = MISSING if ratio is None else f"{ratio['median']:.2f} ({ratio['ci95'][0]:.2f} to {ratio['ci95'][1]:.2f})"
    outside = inspection.get("outside")
    return (
        report["recipe"],
        _megabytes(report["size_bytes"]),
        _share(file.get("accuracy")),
        MISSING if drop is None else f"{found['drop_points']:+.2f} ({drop[0]:+.2f} to {drop[1]:+.2f})",
        MISSING if "macro_f1" not in file else f"{file['macro_f1']:.4f}",
        _share(found.get("agreement_with_network")),
        _share(found.get("agreement_with_float")),
        f"{latency['latency_ms']['p50']:.2f} ms" if latency else MISSING,
        speed if latency.get("ratio") or not latency else "1",
        str(inspection.get("partitions", MISSING)),
        MISSING if outside is None else _counts(outside),
    )


def _summary(reports: Sequence[Report], parts: Sequence[str]) -> str:
    tables = []
    for number, part in enumerate(parts):
        samples = [report["parts"][part]["file"]["samples"] for report in reports if part in report["parts"]]
        note = "the part to decide on" if number == 0 else "reported, chosen on nothing"
        tables.append(
            f"<h3>{_text(part)}, {samples[0]:,} pictures ({note})</h3>\n{_table(HEADINGS, table(reports, part))}"
        )
    text = (
        "Drop: accuracy of the float network less the file's on the same pictures, with the paired 95 % "
        "interval; a plus means that the file is worse. Agrees: share of pictures given the same class. Times as fast: "
        "median over rounds of the baseline's time over this file's in the same round."
    )
    return "<h2>All recipes</h2>\n" + "\n".join(tables) + f'\n<p class="quiet">{_text(text)}</p>'


def _notes(reports: Sequence[Report]) -> str:
    notes = [f"{report['recipe']}: {warning}" for report in reports for warning in report.get("warnings", [])]
    for report in reports:
        if report.get("kept_in_float"):
            notes.append(f"{report['recipe']}: kept in float: {', '.join(report['kept_in_float'])}")
    items = "\n".join(f"<li>{_text(note)}</li>" for note in notes)
    return f"<h2>Warnings and decisions</h2>\n<ul>\n{items}\n</ul>" if notes else ""


def _speed(reports: Sequence[Report], parts: Sequence[str]) -> str:
    latency = next((report["latency"] for report in reports if report.get("latency")), None)
    if latency is None:
        return ""
    where = f"{latency['machine']['model']}, {counted(latency['threads'], 'thread')}, {latency['runtime']['name']} "
    where += f"{latency['runtime']['version']}, {latency['rounds']} rounds in turns, baseline {latency['baseline']}"
    figures = [
        _figure(plots.tradeoff(reports, parts[0]), "Accuracy against latency", "median latency; bar: 95 % interval"),
        _figure(plots.latencies(reports), "Latency", "line: median; box: p25 to p75; thin line: p1 to p99"),
    ]
    rows = [
        (report["recipe"], *(f"{row['latency_ms'][key]:.3f}" for key in ("p50", "p90", "p99", "mean", "min", "max")))
        for report in reports
        if (row := plots.latency_of(report)) is not None
    ]
    headings = ("recipe", "p50, ms", "p90", "p99", "mean", "min", "max")
    shown = f'{_plots(figures)}\n{_table(headings, rows)}\n<p class="quiet">{_text(where)}</p>'
    return f"<h2>Speed on this machine</h2>\n{shown}"


def _classes(reports: Sequence[Report], parts: Sequence[str]) -> str:
    figures = [_figure(plots.class_changes(reports, part), part, "file less float network") for part in parts]
    return f"<h2>F1 by class</h2>\n{_plots(figures)}" if any(figures) else ""


def _layers(reports: Sequence[Report]) -> str:
    note = "signal-to-quantization-noise ratio against the float network, higher is better; gaps: exact in float"
    figures = [
        _figure(plots.layer_curve(reports, "sqnr_db"), "All layers up to here", note),
        _figure(plots.layer_curve(reports, "own_sqnr_db"), "Each layer alone, on the file's own inputs", note),
    ]
    if not any(figures):
        return ""
    headings = ("layer", "kind", "shape", "step", "up to here, dB", "alone, dB", "alone, median channel", "bias, steps",
                "clipped", "in the Keras model")  # fmt: skip
    tables = []
    for report in reports:
        known = [row for row in rows_of(report.get("layers")) if row.get("own_channel_db") is not None]
        rows = [_layer(row) for row in sorted(known, key=lambda row: float(row["own_channel_db"]))[:WORST]]
        if rows:
            title = f"<h3>{_text(report['recipe'])}: the {len(rows)} layers that lose most by themselves</h3>"
            tables.append(f"{title}\n{_table(headings, rows)}")
    return f"<h2>Error by layer</h2>\n{_plots(figures)}\n" + "\n".join(tables)


def _layer(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["layer"],
        row["kind"],
        "×".join(str(size) for size in row.get("shape", ())),
        _number(row.get("scale"), ".4g"),
        _number(row.get("sqnr_db"), ".1f"),
        _number(row.get("own_sqnr_db"), ".1f"),
        _number(row.get("own_channel_db"), ".1f"),
        _number(row.get("bias_steps"), "+.2f"),
        MISSING if row.get("saturated_share") is None else f"{row['saturated_share']:.2%}",
        row["path"],
    )


def _tuning(reports: Sequence[Report]) -> str:
    figures = [
        _figure(draw(report), f"{report['recipe']}: {title}", note)
        for report in reports
        for draw, title, note in (
            (plots.sensitivity, "sensitivity", "one rounding at a time; hatched: layer kept in float"),
            (plots.history, "fine-tuning", "of the fake-quant network, on the part to decide on"),
        )
    ]
    return f"<h2>Sensitivity and fine-tuning</h2>\n{_plots(figures)}" if any(figures) else ""


def _delegation(reports: Sequence[Report]) -> str:
    known = [(report["recipe"], report["delegation"]) for report in reports if report.get("delegation")]
    if not known:
        return ""
    counts = [(recipe, str(found["partitions"]), *map(_counts, found["counts"].values())) for recipe, found in known]
    places = list(known[0][1]["counts"])
    left = [row for recipe, found in known for row in _outside(recipe, found)]
    windows = [row for recipe, found in known for row in _windows(recipe, found)]
    text = f"<h2>Where the operators run</h2>\n{_table(('recipe', 'partitions', *places), counts)}"
    if left:
        text += f"\n<h3>Outside XNNPACK</h3>\n{_table(('recipe', 'operator', 'why', 'outputs'), left)}"
    if windows:
        headings = ("recipe", "operator", "output", "ratio", "value", "factors of two to the border", "window")
        text += f"\n<h3>Scale ratios closest to a border of XNNPACK's windows</h3>\n{_table(headings, windows)}"
    return text


def _outside(recipe: str, found: Mapping[str, Any]) -> Rows:
    """A row for each operator and reason, with the first few outputs."""
    groups: dict[tuple[str, str], list[str]] = {}
    for operator in rows_of(found["operators"]):
        if operator.get("reason"):
            groups.setdefault((operator["name"], operator["reason"]), []).append(_operator(operator))
    return [
        (recipe, f"{len(outputs)} {name}", reason, ", ".join(outputs[:LISTED]) + _more(len(outputs) - LISTED))
        for (name, reason), outputs in groups.items()
    ]


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _windows(recipe: str, found: Mapping[str, Any]) -> Rows:
    operators = rows_of(found["operators"])
    if "ratios" in found:
        pairs = [(ratio, operators[ratio["operator"]]) for ratio in rows_of(found["ratios"])]
    else:  # a report from before there were tables: each operator holds its own
        pairs = [(ratio, operator) for operator in operators for ratio in operator.get("ratios", ())]
    pairs.sort(key=lambda pair: float(pair[0]["margin"]))
    return [
        (
            recipe,
            operator["name"],
            _operator(operator),
            ratio["of"],
            f"{ratio['value']:.3g}",
            f"{ratio['margin']:+.1f}",
            f"{ratio['low']:.3g} to {ratio['high']:.3g}",
        )
        for ratio, operator in pairs[:CLOSEST]
    ]


def _operator(operator: Mapping[str, Any]) -> str:
    """The last of an output's joined names, without the network's."""
    return str(operator["output"]).split(";", 1)[0].removeprefix("lowered/")


def _facts(reports: Sequence[Report]) -> str:
    rows = [
        (report["recipe"], report["file"], report["sha256"], f"{sum(report.get('seconds', {}).values()):.0f} s")
        for report in reports
    ]
    lines = [f"{name} {version}" for name, version in reports[0].get("versions", {}).items()]
    commands = [
        f"<p>Command{of}: <code>{_text(command)}</code></p>"
        for of, command in _by_recipes(reports, lambda report: " ".join(report.get("command", [])))
    ]
    rules = [
        (f"<p>Lowering{of}:</p>\n" if of else "") + f"<ul>\n{items}\n</ul>"
        for of, items in _by_recipes(reports, _rules)
    ]
    told = "\n".join([*commands, f"<p>Versions: {_text(', '.join(lines))}</p>", *rules])
    return f"""<details>
<summary>Files, versions and lowering</summary>
{_table(("recipe", "file", "sha256", "took"), rows)}
{told}
</details>"""


def _rules(report: Report) -> str:
    rules = report.get("lowering", {}).get("rules", {})
    return "\n".join(f"<li>{_text(f'{name}: {why}')}</li>" for name, why in rules.items())


def _by_recipes(reports: Sequence[Report], told: Callable[[Report], str]) -> list[tuple[str, str]]:
    """What reports say, each text once, and of which recipes (" of A, B"); empty where all say the same."""
    found: dict[str, list[str]] = {}
    for report in reports:
        found.setdefault(told(report), []).append(report["recipe"])
    return [("" if len(found) == 1 else f" of {', '.join(recipes)}", text) for text, recipes in found.items()]


def _lead(report: Report) -> str:
    source, data = report["source"], report.get("data", {})
    size = "×".join(str(side) for side in source["input"])
    words = [f"{source['backbone']} at {size}", f"{data.get('name')}, protocol {data.get('protocol')}"]
    parity, calibration = report.get("lowering", {}).get("parity"), report.get("calibration")
    if parity:
        words.append(f"lowered network within {parity['relative']:.1e} of the Keras model's logits (of their range)")
    if calibration:
        words.append(f"temperature {calibration['temperature']:.3f} folded in")
    return "; ".join(words) + "."


def _figure(svg: str | None, title: str, note: str) -> str:
    if svg is None:
        return ""
    label = html.escape(f"{title}: {note}", quote=True)
    drawn = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return f"<figure>\n<figcaption>{_text(title)}<span>{_text(note)}</span></figcaption>\n{drawn}</figure>"


def _plots(figures: Iterable[str]) -> str:
    return '<div class="plots">\n' + "\n".join(figure for figure in figures if figure) + "\n</div>"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(heading)}</th>" for heading in headings)
    body = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def _cell(words: str) -> str:
    wide = ' class="wide"' if len(words) > WRAPPED_CHARACTERS and " " in words else ""
    return f"<td{wide}>{_text(words)}</td>"


def _text(words: Any) -> str:
    return html.escape(str(words), quote=True)


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2%}"


def _number(value: float | None, form: str) -> str:
    return MISSING if value is None else format(value, form)


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in found.items()) or "none"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
