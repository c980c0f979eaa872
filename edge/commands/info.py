"""`fer-edge info`: what a model file says about itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from edge.cli import printable
from edge.commands.options import json_option, model_option

if TYPE_CHECKING:
    from edge.inference.flatbuffer import TensorInfo
    from edge.inference.modelfile import ModelFile


@click.command(short_help="Show what a model file says about itself.")
@model_option
@json_option
def info(model: str | None, as_json: bool) -> None:
    """Show what a model file says about itself, after checking it against its tensors and its sha256."""
    from edge.inference.modelfile import read_model

    found = read_model(model)
    click.echo(json.dumps(description(found), indent=2, allow_nan=False) if as_json else _text(found))


def description(model: ModelFile) -> dict[str, Any]:
    """Return `fer-edge info --json`'s object: file, tensors, and the contract's fields."""
    contract = model.contract.to_dict()
    labels, input_spec = contract.pop("labels"), contract.pop("input")
    return {
        "path": str(model.path),
        "sha256": model.sha256,
        "size_bytes": model.size_bytes,
        "labels": labels,
        "input": {**_tensor(model.input), "colour": input_spec["colour"]},
        "output": _tensor(model.output),
        **contract,
    }


def _tensor(tensor: TensorInfo) -> dict[str, Any]:
    return {
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


def _text(model: ModelFile) -> str:
    contract = model.contract
    rows = [
        ("model", f"{contract.name} {contract.version}: {contract.description}"),
        ("file", f"{model.path} ({model.size_bytes:,} bytes)"),
        ("sha256", model.sha256),
        ("network", f"{contract.backbone}, {contract.recipe}, trained on {contract.training_colour} faces"),
        ("input", f"{model.input.dtype} {list(model.input.shape)}, {contract.input.colour}"),
        ("output", f"{model.output.dtype} {list(model.output.shape)}"),
        ("labels", ", ".join(contract.labels)),
        ("crop", f"square of {contract.crop.side_scale:g} x the box's longer side"),
    ]
    for entry in contract.metrics:
        low, high = entry["ci95"]
        rows.append(
            (
                "accuracy",
                f"{entry['accuracy']:.2%} ({low:.2%} to {high:.2%}), macro-F1 {entry['macro_f1']:.3f} on "
                f"{entry['dataset']} {entry['part']} ({entry['protocol']}, {entry['samples']:,} faces)",
            )
        )
    rows += [
        ("data", f"{contract.data['name']} ({contract.data['fingerprint']})"),
        *([("learned", contract.data["supervision"])] if "supervision" in contract.data else []),
        ("licence", contract.licence),
        ("for", contract.intended_use),
        ("not for", contract.not_for),
    ]
    return "\n".join(f"{name:<9} {printable(value)}" for name, value in rows)
