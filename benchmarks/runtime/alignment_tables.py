"""Tables of the alignment record for docs/runtime.md: what was read, from how many degrees, where points lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from edge.alignment import ALIGN_FROM_DEG, ALIGNMENTS

Section = tuple[str, Sequence[str], Sequence[tuple[str, ...]], str]  # title, headings, rows, note

_POINTS = ("right eye", "left eye", "tip of the nose", "right corner of the mouth", "left corner of the mouth")
_READ = (
    "Detector", "Tilt", "Box off by", "Found", "Tilt seen", "Fit refused", "FER2013's own frame", *ALIGNMENTS,
    "auto over none, points (95 %)", "points over auto, points (95 %)",
)  # fmt: skip
_FROM = ("Detector", "Turned by", "From", "Tilted 0°", "15°", "30°", "45°", "Over auto, points (95 %)")
_FRAMED = ("Detector", "Crops without border", "FER2013's own frame", "none", "none over the frame, points (95 %)")
_PLACES = ("Detector", "Point", "x (quartiles)", "y (quartiles)")
_FROM_NOTE = (
    "Shares of right answers where crops are turned only if the line through the eyes is tilted by more than so many "
    "degrees. Over auto: mean of a face's differences at the tilts at which it is found; the interval is over faces."
)
_FRAMED_NOTE = (
    "Of the upright faces above those whose crop takes no more than 1/32 of a side of what lies outside FER2013's own "
    "frame. There is nothing there but its border's pixels, repeated, which a camera does not show and the network "
    "never saw."
)
_PLACES_NOTE = (
    "In 48ths of the side of FER2013's Training faces, upright; right and left are the person's own. The medians are "
    "the template that points are fitted to."
)


def sections(records: Sequence[dict[str, Any]]) -> list[Section]:
    """Return the sections of the page."""
    faces = " and ".join(f"{record['faces']:,}" for record in records) or "no"
    models = " and ".join(record["model"] for record in records) or "no model"
    note = (
        f"Shares of right answers to those of {faces} FER2013 PublicTest faces that the detector finds, set in a "
        f"replicated border, enlarged and tilted; by {models}. none: the crop about the detector's box; "
        f"eyes: turned by the line through the eyes; auto: so above {ALIGN_FROM_DEG:g} degrees; points: centre, size "
        "and turn by the fit of all points. FER2013's own frame: the pictures as they were published. "
        "Box off: the box, not the points, moved by so much of its side and scaled by 1.1 or 1 / 1.1. Points "
        "of difference are paired, face by face; of so many intervals one or the other misses 0 by chance."
    )
    return [
        ("Faces turned upright", _READ, list(_read_rows(records)), note),
        ("Crops and FER2013's own frame", _FRAMED, list(_framed_rows(records)), _FRAMED_NOTE),
        ("From how many degrees", _FROM, list(_from_rows(records)), _FROM_NOTE),
        ("Where detectors' points lie", _PLACES, list(_place_rows(records)), _PLACES_NOTE),
    ]


def _read_rows(records: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for row in [row for record in records for row in record["rows"]]:
        yield (
            row["detector"], f"{row['tilt_deg']}°", f"{100 * row['box_off']:.0f} %", f"{100 * row['found']:.1f} %",
            f"{row['roll_deg']:.1f}°".replace("-", "−"), f"{100 * row['refused']:.1f} %",
            *(f"{100 * row['right'][name]:.1f} %" for name in ("frame", *ALIGNMENTS)),
            *(_more(row[name]["points"], row[name]["ci95"]) for name in ("auto_over_none", "points_over_auto")),
        )  # fmt: skip


def _framed_rows(records: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for row in [row for record in records for row in record["rows"] if "framed" in row]:
        framed = row["framed"]
        yield (
            row["detector"], f"{framed['faces']:,}", f"{100 * framed['frame']:.1f} %", f"{100 * framed['none']:.1f} %",
            _more(framed["points"], framed["ci95"]),
        )  # fmt: skip


def _from_rows(records: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for row in [row for record in records for row in record["thresholds"]]:
        yield (
            row["detector"], row["by"], f"{row['from_deg']:g}°", *(f"{100 * share:.1f} %" for share in row["right"]),
            _more(row["more_points"], row["more_ci95"]),
        )  # fmt: skip


def _place_rows(records: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for block in [block for record in records for block in record["detectors"]]:
        for name, median, low, high in zip(_POINTS, block["median"], *block["quartiles"], strict=False):
            spans = (f"{median[axis]:.1f} ({low[axis]:.1f} to {high[axis]:.1f})" for axis in (0, 1))
            yield (block["name"], name, *spans)


def _more(points: float, ci95: Sequence[float]) -> str:
    return f"{points:+.1f} ({ci95[0]:+.1f} to {ci95[1]:+.1f})".replace("-", "−")
