"""The cards of the shipped models: what each file says of itself, and its measured rows beside its float32 twin's.

Written into the README between markers by `python -m benchmarks report RECORDS --readme README.md`, from records only.

Source of the form: Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.markdown import markdown_row, markdown_table
from benchmarks.table import MISSING, Row, Table, drop_text, share_text, size_text
from edge.errors import DataError
from edge.inference.modelfile import ModelFile

CARD_BEGIN, CARD_END = "<!-- model-card:begin -->", "<!-- model-card:end -->"
OFFICIAL = ("fer2013", "PrivateTest")
HEADINGS = (
    "File", "Size", "FER2013 PrivateTest, single view (95 %)", "Macro-F1", "Drop, points (95 %)", "p50 ms, 1 thread",
)  # fmt: skip


def model_cards(table: Table, models: Mapping[str, ModelFile]) -> str:
    """Return the cards of the shipped models by name, each under its heading, as Markdown; see `model_card`."""
    return "\n".join(f"#### `{name}`\n\n{model_card(table, model)}" for name, model in models.items())


def model_card(table: Table, model: ModelFile) -> str:
    """Return the card of `model` as Markdown.

    Args:
        table: built from the records.
        model: the shipped file; its official figures must be among the rows.

    Raises:
        DataError: no accuracy record of this very file, or of its float32 twin, on FER2013's PrivateTest.
    """
    contract = model.contract
    shipped = _row(table, lambda row: row.model.sha256 == model.sha256, f"the shipped file ({model.sha256[:12]})")
    twin = _row(
        table,
        lambda row: (row.model.name, row.model.recipe) == (contract.name, "float32"),
        f"the float32 file of {contract.name}",
    )
    (metric,) = (m for m in contract.metrics if (m["dataset"], m["part"]) == OFFICIAL)
    facts = {
        "Model": f"`{contract.name}` {contract.version}, {contract.backbone}, recipe {contract.recipe}",
        "sha256": f"`{model.sha256}`",
        "Input and output": f"uint8 RGB {' × '.join(map(str, model.input.shape[1:]))}; probabilities of "
        + ", ".join(contract.labels),
        "Trained on": f"{contract.data['name']} Training, {contract.training_colour} pictures; first weights and "
        "their origin: [edge/models/NOTICE](edge/models/NOTICE)",
        **({"Learned from": contract.data["supervision"]} if "supervision" in contract.data else {}),
        "Protocol": f"{metric['protocol']}: training rows that recur in a test part removed; checkpoint, "
        "temperature and quantized weights chosen on PublicTest; PrivateTest measured for the shipped models and "
        "their other recipes alone, after every choice was made",
        "Intended use": contract.intended_use,
        "Not for": contract.not_for,
        "Licence": contract.licence,
    }
    lines = ["| | |", "|---|---|", *map(markdown_row, facts.items()), ""]  # with links: Markdown already
    figures = markdown_table(HEADINGS, map(_cells, (twin, shipped)), "|" + "---|" * len(HEADINGS))
    return "\n".join([*lines, figures]) + "\n"


def _row(table: Table, wanted: Callable[[Row], bool], what: str) -> Row:
    """Return the official row that `wanted` takes, one thread before others, and any before none (no latency)."""
    found = [
        row
        for row in table.rows
        if row.accuracy is not None and row.accuracy.data.tta == "none"
        if (row.accuracy.data.name, row.accuracy.data.part) == OFFICIAL and wanted(row)
    ]
    if not found:
        raise DataError(
            f"expected an accuracy record of {what} on FER2013's PrivateTest; got none; "
            "write it with `fer-edge benchmark accuracy --record`"
        )
    return min(found, key=lambda row: (row.threads != 1, row.threads is None, row.threads or 0))


def _cells(row: Row) -> tuple[str, ...]:
    found, time = row.accuracy, row.latency
    if found is None:
        raise ValueError("expected a row with an accuracy; got one without")
    return (
        row.model.recipe,
        size_text(row.model.size_bytes),
        share_text(found.accuracy, (found.low, found.high)),
        f"{found.macro_f1:.4f}",
        drop_text(row.drop) if row.drop else MISSING,
        f"{time.p50:.2f}" if time and row.threads == 1 else MISSING,
    )
