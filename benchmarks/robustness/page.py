"""What distortions cost, as Markdown from robustness records: by condition, by class, by confidence.

`python -m benchmarks distorted RECORDS --page docs/robustness.md` writes it between the page's markers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.markdown import markdown_table, markdown_text
from benchmarks.robustness.distortions import CLEAN
from benchmarks.table import MISSING, share_text, signed
from edge.errors import DataError

BEGIN, END = "<!-- robustness:begin -->", "<!-- robustness:end -->"
MEAN = "mean over the kinds"
_PLOT_NOTE = "Accuracy under each condition. Bars: 95 % intervals; dashed: the faces as they are."
_NOTE = (
    "Accuracy with its 95 % bootstrap interval. Lost: accuracy on the faces as they are minus this one; drop: accuracy "
    "of the first model minus this one's, with McNemar's exact p; both in points on the same faces, a plus is a loss, "
    "with the paired 95 % interval. The mean counts each kind of distortion alike, the faces as they are left out; "
    "its interval resamples faces, each with all that was done to it. Many lines are many chances to find a difference "
    "that is none: one interval without 0 is a reason to look, not a finding."
)
_SURE_NOTE = (
    "ECE: expected calibration error in 15 bins, biased upwards: compare it along a line only. Certain: faces whose "
    "highest probability is {below} or more, so that the runtime's answer to a single picture is not *uncertain*, "
    "and the accuracy on these (a video's answers are averaged first)."
)
_CLASS_NOTE = "On the faces as they are; distorted: mean recall over all distortions, each condition counting alike."
_BIN_NOTE = (
    "On the faces as they are. With {classes} classes no highest probability is below {least}. Last line: the "
    "answers that are not *uncertain*, with 95 % intervals."
)


def markdown(found: Sequence[tuple[Mapping[str, Any], str | None]]) -> str:
    """Return the page's block.

    Args:
        found: each record with the name of its picture beside the page; None: it has none.
    """
    return "\n".join(_section(record, plot) for record, plot in found)


def shown_names(record: Mapping[str, Any]) -> list[str]:
    """Return what the models are called: recipes where they are of one name; a second one called alike is numbered."""
    one = len({model["name"] for model in record["models"]}) == 1
    plain = [model["recipe"] if one else f"{model['name']} {model['recipe']}" for model in record["models"]]
    names = []
    for place, name in enumerate(plain):
        before = plain[:place].count(name)
        names.append(f"{name} ({before + 1})" if before else name)
    return names


def picture_name(record: Mapping[str, Any]) -> str:
    """Return the file name of a record's picture, after its first model; signs that no file name needs become `-`."""
    name = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in record["models"][0]["name"])
    return f"robustness-{name}.svg"


def check_pictures(records: Iterable[tuple[Path, Mapping[str, Any]]]) -> None:
    """Raise DataError where two records would have one picture: they tell of the same model."""
    known: dict[str, Path] = {}
    for path, record in records:
        name = picture_name(record)
        if name in known:
            raise DataError(
                f"{path}: expected one record of {record['models'][0]['name']}; got another in {known[name]}; keep the "
                "one that counts"
            )
        known[name] = path


def points_text(change: Mapping[str, Any]) -> str:
    """Return a difference in points with its interval, and its p where it has one."""
    low, high = change["ci95"]
    p = f", p = {change['p_value']:.2g}" if "p_value" in change else ""
    return f"{signed(change['points'])} ({signed(low)} to {signed(high)}){p}"


def _section(record: Mapping[str, Any], plot: str | None) -> str:
    names, models = shown_names(record), record["models"]
    parts = [f"### {markdown_text(models[0]['name'])}\n", _summary(record, names), ""]
    parts += [f"![Accuracy by condition]({plot})\n", f"{_PLOT_NOTE}\n"] if plot else []
    parts += [_by_condition(record, names), f"\n{_NOTE}\n", "#### How sure\n", _sure(record, names)]
    parts += [
        f"\n{_SURE_NOTE.format(below=_whole(record['uncertain_below']))}\n",
        "#### By class\n",
        _by_class(record, names),
    ]
    parts += [f"\n{_CLASS_NOTE}\n"]
    for name, model in zip(names, models, strict=True):
        title = f"{markdown_text(name)}: answers (columns) to faces of each class (rows), counts:\n"
        parts += [title, _confusion(record, model), ""]
    classes = len(record["labels"])
    parts += ["#### By confidence\n", _by_confidence(record, names)]
    parts += [f"\n{_BIN_NOTE.format(classes=classes, least=_whole(1 / classes))}"]
    return "\n".join(parts) + "\n"


def _summary(record: Mapping[str, Any], names: Sequence[str]) -> str:
    data, runtime, machine = record["data"], record["runtime"], record["machine"]
    files = "; ".join(
        f"{markdown_text(name)} (`{markdown_text(model['file'])}`, sha256 `{model['sha256'][:12]}…`)"
        for name, model in zip(names, record["models"], strict=True)
    )
    text = (
        f"{data['name']} {data['part']}, {data['samples']:,} faces of {data['height_px']} × {data['width_px']} px "
        f"({data['colour']}); seed {record['seed']}; {runtime['name']} {runtime['version']} on {machine['model']}, "
        f"{machine['arch']}. Models: "
    )
    return f"{markdown_text(text)}{files}."


def _by_condition(record: Mapping[str, Any], names: Sequence[str]) -> str:
    headings = ["Condition"]
    for place, name in enumerate(names):
        headings += [f"{name}: accuracy (95 %)", "lost, points (95 %)"] + (["drop, points (95 %)"] if place else [])
    rows = [[each["text"], *_condition_cells(record, each["name"])] for each in record["conditions"]]
    last = [f"**{MEAN}**"]
    for place, model in enumerate(record["models"]):
        mean = model["mean_over_kinds"]
        last += [share_text(mean["accuracy"], mean["accuracy_ci95"]), MISSING]
        last += [points_text(mean["drop"])] if place else []
    return markdown_table(headings, [*rows, last])


def _condition_cells(record: Mapping[str, Any], name: str) -> list[str]:
    cells = []
    for place, model in enumerate(record["models"]):
        result = model["results"][name]
        lost = {key: result["lost"][key] for key in ("points", "ci95")} if "lost" in result else None
        cells += [share_text(result["accuracy"], result["accuracy_ci95"]), points_text(lost) if lost else MISSING]
        cells += [points_text(result["drop"])] if place else []
    return cells


def _sure(record: Mapping[str, Any], names: Sequence[str]) -> str:
    headings = ["Condition"]
    for name in names:
        headings += [f"{name}: macro-F1", "ECE", "certain", "accuracy of these"]
    rows = []
    for condition in record["conditions"]:
        cells = [condition["text"]]
        for model in record["models"]:
            result = model["results"][condition["name"]]
            sure = result["certain"]
            cells += [f"{result['macro_f1']:.4f}", f"{result['calibration']['ece']:.4f}"]
            cells += [_percent(sure["coverage"]), _percent(sure["accuracy"])]
        rows.append(cells)
    return markdown_table(headings, rows)


def _by_class(record: Mapping[str, Any], names: Sequence[str]) -> str:
    headings = ["Class", "Faces"]
    for name in names:
        headings += [f"{name}: recall", "precision", "recall, distorted"]
    rows = []
    for label in record["labels"]:
        cells = [label, f"{record['models'][0]['results'][CLEAN.name]['per_class'][label]['support']:,}"]
        for model in record["models"]:
            clean = model["results"][CLEAN.name]["per_class"][label]
            others = [each["per_class"][label]["recall"] for key, each in model["results"].items() if key != CLEAN.name]
            cells += [f"{clean['recall']:.3f}", f"{clean['precision']:.3f}"]
            cells += [f"{sum(others) / len(others):.3f}" if others else MISSING]
        rows.append(cells)
    return markdown_table(headings, rows)


def _confusion(record: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    labels = record["labels"]
    rows = zip(labels, model["results"][CLEAN.name]["confusion"], strict=True)
    return markdown_table(["", *labels], [[label, *(f"{count:,}" for count in row)] for label, row in rows])


def _by_confidence(record: Mapping[str, Any], names: Sequence[str]) -> str:
    headings = ["Highest probability"]
    for name in names:
        headings += [f"{name}: share of faces", "accuracy of these"]
    results = [model["results"][CLEAN.name] for model in record["models"]]
    bins, samples = len(results[0]["confidence"]["count"]), record["data"]["samples"]
    rows = []
    for place in range(bins):
        cells = [f"{_whole(place / bins)} to {_whole((place + 1) / bins)}"]
        for result in results:
            count, right = (result["confidence"][key][place] for key in ("count", "accuracy"))
            cells += [_percent(count / samples), _percent(right if count else None)]
        if any(result["confidence"]["count"][place] for result in results):
            rows.append(cells)
    last = [f"**{_whole(record['uncertain_below'])} or more**"]
    for result in results:
        sure = result["certain"]
        known = share_text(sure["accuracy"], sure["accuracy_ci95"]) if sure["accuracy"] is not None else MISSING
        last += [share_text(sure["coverage"], sure["coverage_ci95"]), known]
    return markdown_table(headings, [*rows, last])


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.1f} %"


def _whole(share: float) -> str:
    return f"{100 * share:.0f} %"
