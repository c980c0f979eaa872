"""What a model file says about itself: labels, input, crop, figures, origin, purpose (`fer-edge.json`).

Written by convert into every .tflite, read by `edge.inference.modelfile` before an interpreter sees the file. The shape
of the JSON is `schemas/fer-edge.schema.json`; what a schema cannot say (label order, finite numbers) is checked here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from edge.errors import ContractError
from edge.labels import EMOTIONS
from edge.schema import load_schema, violations

SCHEMA_VERSION = 1
_REMEDY = "export the model again with `python -m convert`"


@dataclass(frozen=True)
class CropSpec:
    """How a face is cut about a detector's box in the reference convention (YuNet's box).

    Attributes:
        side_scale: side of the square cut, as a multiple of the box's longer side.
        offset_x: shift of the square's centre to the right, as a share of the square's side.
        offset_y: shift of the square's centre downwards, as a share of the square's side.
        resolution_px: side in pixels of the pictures trained on; the crop is first brought to it. None: no such step.
        alignment: rotation before the cut; only "none" in schema version 1.
    """

    side_scale: float
    offset_x: float = 0.0
    offset_y: float = 0.0
    resolution_px: int | None = None
    alignment: Literal["none"] = "none"


@dataclass(frozen=True)
class InputSpec:
    """The model's input: one (height, width, 3) uint8 RGB picture, 0..255."""

    height: int
    width: int
    colour: Literal["rgb"] = "rgb"
    dtype: Literal["uint8"] = "uint8"


@dataclass(frozen=True)
class Contract:
    """Everything that `fer-edge.json` holds; see the schema for the limits of each field.

    Attributes:
        name: the model's short name (letters, digits, `._-`).
        version: the model's version.
        description: one sentence about the model.
        recipe: the arithmetic: float32, float16, dynamic-int8, ptq-int8, qat-int8.
        backbone: the network, as named in train's registry.
        labels: class names in the order of the output; emotions in canonical order.
        input: what the network takes.
        crop: how faces are cut.
        training_colour: "grey" if it was trained on grey pictures (the file still takes RGB), else "rgb".
        metrics: figures: dataset, part, protocol, accuracy, macro_f1, weighted_f1, ci95 (of the accuracy), samples.
        data: training data: name, fingerprint, further texts.
        versions: package -> version used for training and conversion.
        licence: the licence of the model.
        intended_use: what it is for.
        not_for: what it must not be used for.
        flatbuffer_sha256: sha256 of the file's part before the appended zip.
        schema_version: 1.
    """

    name: str
    version: str
    description: str
    recipe: str
    backbone: str
    labels: tuple[str, ...]
    input: InputSpec
    crop: CropSpec
    training_colour: Literal["grey", "rgb"]
    licence: str
    intended_use: str
    not_for: str
    flatbuffer_sha256: str
    metrics: tuple[Mapping[str, Any], ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Freeze the containers."""
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "metrics", tuple(MappingProxyType(dict(entry)) for entry in self.metrics))
        object.__setattr__(self, "data", MappingProxyType(dict(self.data)))
        object.__setattr__(self, "versions", MappingProxyType(dict(self.versions)))

    def to_dict(self) -> dict[str, Any]:
        """Return the contract as plain JSON values, checked against the schema.

        Raises:
            ContractError: a field is outside the schema.
        """
        document = {
            "schema_version": self.schema_version,
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "recipe": self.recipe,
            "backbone": self.backbone,
            "labels": list(self.labels),
            "input": asdict(self.input),
            "crop": asdict(self.crop),
            "training_colour": self.training_colour,
            "metrics": [_plain(entry) for entry in self.metrics],
            "data": dict(self.data),
            "versions": dict(self.versions),
            "licence": self.licence,
            "intended_use": self.intended_use,
            "not_for": self.not_for,
            "flatbuffer_sha256": self.flatbuffer_sha256,
        }
        _check(document)
        return document

    def to_json(self) -> str:
        """Return `fer-edge.json`'s text.

        Raises:
            ContractError: a field is outside the schema.
        """
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, document: Any) -> Contract:
        """Return the contract that plain JSON values describe.

        Raises:
            ContractError: a field is missing, unknown or outside the schema; the text names it.
        """
        _check(document)
        values = dict(document)
        values["labels"] = tuple(values["labels"])
        values["input"] = InputSpec(**{**values["input"], **_integers(values["input"], "height", "width")})
        values["crop"] = CropSpec(**{**values["crop"], **_integers(values["crop"], "resolution_px")})
        return cls(**values)

    @classmethod
    def from_json(cls, text: str | bytes) -> Contract:
        """Return the contract in `fer-edge.json`'s text.

        Raises:
            ContractError: the text is no JSON, or a field is missing, unknown or outside the schema.
        """
        try:
            document = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ContractError(f"fer-edge.json: expected JSON; got {error}; {_REMEDY}") from error
        return cls.from_dict(document)


def _check(document: Any) -> None:
    """Raise ContractError naming the first field of the document that the contract does not allow."""
    for violation in violations(document, load_schema("fer-edge")):
        raise ContractError(f"fer-edge.json: {violation}; {_REMEDY}")
    emotions = [name for name in document["labels"] if name in EMOTIONS]
    expected = [name for name in EMOTIONS if name in emotions]
    if emotions != expected:
        raise ContractError(
            f"fer-edge.json: labels: expected the order {', '.join(expected)}; got {', '.join(emotions)}; {_REMEDY}"
        )
    for i, entry in enumerate(document["metrics"]):
        if entry["ci95"][0] > entry["ci95"][1]:
            raise ContractError(
                f"fer-edge.json: metrics[{i}].ci95: expected low <= high; got {entry['ci95']}; {_REMEDY}"
            )


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in entry.items()}


def _integers(values: Mapping[str, Any], *names: str) -> dict[str, int | None]:
    """Return the named whole numbers as int (JSON Schema calls 64.0 an integer too)."""
    return {name: None if values[name] is None else int(values[name]) for name in names}


def _refuse_constant(text: str) -> float:
    raise ValueError(f"the number {text}, which is not finite")
