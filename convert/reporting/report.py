"""The words and figures of a conversion: the contract inside the file, the line on the terminal, versions.

Used by ``convert.conversion``, which gathers the facts.
"""

from __future__ import annotations

from typing import Any

from convert.config import ConvertConfig
from convert.reporting.tables import as_table
from convert.source import Source
from edge.files import rounded
from edge.inference.contract import Contract, InputSpec

_UNTOLD = ("tensor", "position")  # of a row: a name that it has anyway, and its place among the rows


def contract(
    source: Source,
    config: ConvertConfig,
    recipe: str,
    versions: dict[str, str],
    metrics: tuple[dict[str, Any], ...] = (),
) -> Contract:
    """What the file says about itself; ``convert.tflite.packaging`` puts in the network's sha256."""
    return Contract(
        name=source.name,
        version=config.version,
        description=(
            f"Facial expression of one cropped face in {len(source.labels)} classes, {source.backbone} at "
            f"{source.height}x{source.width}, {recipe}, trained on {source.trained_on['name']}."
        ),
        recipe=recipe,
        backbone=source.backbone,
        labels=source.labels,
        input=InputSpec(source.height, source.width),
        crop=source.crop,
        training_colour="grey" if source.colour == "grey" else "rgb",
        licence=config.licence,
        intended_use=config.intended_use,
        not_for=config.not_for,
        flatbuffer_sha256="0" * 64,
        metrics=metrics,
        data=source.trained_on,
        versions=versions,
    )


def metric(dataset: Any, config: ConvertConfig, part: str, file: dict[str, Any]) -> dict[str, Any]:
    """A row of the contract's metrics from the file's own figures on one part; a limited part says so."""
    keys = ("accuracy", "macro_f1", "weighted_f1", "ci95", "samples")
    protocol = dataset.protocol if config.limit is None else f"{dataset.protocol}, first {config.limit}"
    return {"dataset": dataset.name, "part": part, "protocol": protocol} | {key: file[key] for key in keys}


def _own_name(output: str) -> str:
    return output.split(";", 1)[0].removeprefix("lowered/")


def brief(value: Any) -> Any:
    """Rows of layers or operators as a report keeps them: six digits, no empty fields, and of names the first.

    A report of ConvNeXt-Tiny lists 700 of them, most of whose bytes would be digits and names that nobody reads: the
    converter joins the names of what it fused ("a/BiasAdd;a/Conv2D;…") below the network's own, and a layer is told by
    its own. Operators stand in the file's order, so that they need no number.
    """
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in _UNTOLD and item not in (None, (), [])}
        return {key: _own_name(item) if key == "output" else brief(item) for key, item in kept.items()}
    return [brief(item) for item in value] if isinstance(value, list | tuple) else rounded(value)


def placed(delegation: dict[str, Any]) -> dict[str, Any]:
    """Where the operators run, as a report keeps it: operators and their scale ratios as two tables.

    Args:
        delegation: of :func:`convert.verification.delegation.as_json`.

    Returns:
        Its partitions and counts; ``operators`` in the file's order; ``ratios`` with the row of the operator that each
        belongs to in ``operator``, counted from 0.
    """
    told = brief(delegation)
    rows = told["operators"]
    ratios = [{"operator": i} | ratio for i, row in enumerate(rows) for ratio in row.pop("ratios", ())]
    return told | {"operators": as_table(rows), "ratios": as_table(ratios)}


def line(recipe: str, part: str, found: dict[str, Any]) -> str:
    """What a recipe cost on one part, for the terminal."""
    low, high = found["drop_ci95"]
    return (
        f"{recipe} on {part}: accuracy {found['file']['accuracy']:.4f} (float {found['float']['accuracy']:.4f}, "
        f"drop {found['drop_points']:+.2f} points, 95 % {low:+.2f}..{high:+.2f}), macro-F1 "
        f"{found['file']['macro_f1']:.4f}, agreement with its network {found['agreement_with_network']:.4f}, "
        f"with float {found['agreement_with_float']:.4f}"
    )


def versions() -> dict[str, str]:
    """Packages that decide the product, by distribution."""
    import platform
    from importlib.metadata import version

    import edge

    names = ("tensorflow", "tf_keras", "tensorflow-model-optimization", "keras", "numpy", "ai-edge-litert")
    return {"fer-edge": edge.__version__, "python": platform.python_version()} | {name: version(name) for name in names}
