"""What is converted and on what data: the trained model with its description, and the pictures as it sees them.

First stage of the command; everything of ``train`` that the converter needs is reached from here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.config import ConvertConfig
from edge.errors import DataError
from edge.inference.contract import CropSpec
from edge.pictures.preprocess import fit

PLAIN_AUGMENT = {"rotation_deg": 10.0, "shift": 0.05, "zoom": 0.1, "flip": True}


@dataclass(frozen=True, eq=False)
class Source:
    """A trained model and what is known about it.

    Attributes:
        model: ``keras.Model``: raw RGB pixels [n, height, width, 3] to logits (or probabilities) [n, classes].
        name: Short name for files.
        backbone: As named by train, or the model's own name.
        labels: Class names in the order of the output.
        height: Of the input, in pixels.
        width: Of the input, in pixels.
        colour: "grey" if it was trained on r = g = b, else "rgb".
        crop: How its faces were cut.
        own: Whether the data set of the conversion is what it was trained on; so it is for a file that names none.
        augment: Of its training; fine-tuning takes rotation, shift, zoom and flip alone, since its goal is what the
            float network says of a picture, whatever the picture.
        versions: Packages that it was trained with.
        trained_on: Name, protocol and fingerprint of its training data, and of a run what it learned from
            (``supervision``: labels, or what went beyond them; ``before``: the data of what the run comes from, and of
            the conversion where that is other).
    """

    model: Any
    name: str
    backbone: str
    labels: tuple[str, ...]
    height: int
    width: int
    colour: str
    crop: CropSpec
    own: bool
    augment: Any
    versions: dict[str, str]
    trained_on: dict[str, str]


@dataclass(frozen=True, eq=False)
class Pictures:
    """One part of the data set as the network takes it.

    Attributes:
        name: Official name of the part.
        images: uint8 [n, height, width, 3].
        labels: int64 [n], in the order of the source's labels.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray


def load_dataset(config: ConvertConfig) -> Any:
    """The ``train.datasets.Dataset`` under the run's (or the given) protocol.

    Raises:
        DataError: Unknown name or protocol, or files that are not what the layout says.
    """
    from train.datasets import apply_protocol, load

    protocol = config.protocol or run_record(config.model).get("data", {}).get("protocol") or "official-dedup"
    return apply_protocol(load(config.dataset, config.data, progress=not config.quiet), protocol)


def load_source(config: ConvertConfig, dataset: Any) -> Source:
    """The model of a run folder, or of a ``.keras`` file described by the data set.

    Raises:
        DataError: Nothing there, Keras cannot read it, it has no graph, or its classes are not the labels.
    """
    from train.augmentation.augment import Augment
    from train.evaluation.leakage import before, is_own, supervision
    from train.networks.precision import in_float32
    from train.runs import load_model, load_run

    known = run_record(config.model)
    if known and "metrics" not in known:
        raise DataError(
            f"expected a finished run in {config.model}; its training was broken off; go on with "
            "python -m train fit … --resume, or give its model.keras to convert the best epoch so far"
        )
    model = load_run(config.model).model if known else load_model(config.model)
    labels = tuple(known.get("labels", dataset.labels))
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise DataError(
            f"expected a functional or built sequential Keras model in {config.model}; came {type(model).__name__} "
            f"{model.name!r} without inputs; build it with keras.Model(inputs, outputs), or give it a keras.Input first"
        )
    classes = model.outputs[0].shape[-1]
    if classes != len(labels):
        raise DataError(
            f"expected one output a label ({len(labels)}: {', '.join(labels)}); came a model with {classes}; "
            "give the data set that it was trained on"
        )
    height, width = _side_lengths(model)
    colour = config.colour if config.colour != "auto" else known.get("input", {}).get("colour", dataset.colour)
    name = config.name or known.get("name") or config.model.stem
    phases = known.get("recipe", {}).get("phases", [])
    data = known.get("data", {})
    return Source(
        model=in_float32(model),
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "model",
        backbone=known.get("backbone", model.name),
        labels=labels,
        height=height,
        width=width,
        colour=colour,
        crop=CropSpec(**known["crop"]) if known else dataset.crop,
        own=not known or is_own(known, dataset),
        augment=Augment(**(phases[-1]["augment"] if phases else PLAIN_AUGMENT)),
        versions=dict(known.get("versions", {})),
        trained_on={
            "name": str(data.get("name", dataset.name)),
            "protocol": str(data.get("protocol", dataset.protocol)),
            "fingerprint": str(data.get("fingerprint", dataset.fingerprint)),
            **({"supervision": supervision(known)} if known else {}),
            **({"before": earlier} if (earlier := before(known)) else {}),
        },
    )


def with_data_of_conversion(source: Source, config: ConvertConfig, dataset: Any) -> Source:
    """The source whose file also tells what the conversion calibrates and fine-tunes on, where the run saw other rows.

    Another protocol shares the same pictures out anew: the run was trained on some that it holds out, and it would
    calibrate and fine-tune on some that the run holds out.

    Raises:
        DataError: Another protocol of the run's own data set, and leaks are not allowed.
    """
    from train.evaluation.leakage import is_own

    known = run_record(config.model)
    if not known or (is_own(known, dataset) and dataset.protocol == known["data"]["protocol"]):
        return source
    if not config.allow_leaks:
        require_own_parts(
            known,
            dataset,
            "the file would be measured on some that the run was trained on, or taught with some that it was not to "
            "see",
            f"leave --protocol out, fit a run under {dataset.protocol}, or add --allow-leaks",
        )
    seen = " ".join((dataset.name, dataset.protocol, dataset.fingerprint))
    earlier = source.trained_on.get("before")
    before = dict.fromkeys([*(earlier.split("; ") if earlier else ()), seen])
    return dataclasses.replace(source, trained_on={**source.trained_on, "before": "; ".join(before)})


def require_own_parts(record: Mapping[str, Any], dataset: Any, harm: str, remedy: str) -> None:
    """Refuse a protocol whose parts of a network's own data set hold other pictures than those of its protocol.

    Args:
        record: What is known of a network, with its ``name`` and ``data``: its ``run.json``, or what a model file
            tells. Empty where nothing is known, which refuses nothing.
        dataset: ``train.datasets.Dataset`` under the protocol that was asked for.
        harm: What would come of it, for the error.
        remedy: What the user can do, for the error.

    Raises:
        DataError: The parts hold other pictures.
    """
    from train.evaluation.leakage import is_own

    if not record or not is_own(record, dataset):
        return
    theirs = record["data"]["protocol"]
    if _parts_of(dataset.protocol) != _parts_of(theirs):
        raise DataError(
            f"expected the protocol that {record['name']} was trained under ({theirs}); came {dataset.protocol}, "
            f"whose parts hold other pictures: {harm}; {remedy}"
        )


def _parts_of(protocol: str) -> str:
    """A protocol without ``+near`` and its distance, which take training pictures away and no others."""
    return protocol.partition("+")[0]


def _side_lengths(model: Any) -> tuple[int, int]:
    """Height and width of the model's input in pixels.

    Raises:
        DataError: They are not fixed, or the input is no picture of three channels.
    """
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] != 3 or None in shape[1:3]:
        raise DataError(
            f"expected a model that takes pictures of one size (None, height, width, 3); came one that takes {shape}; "
            "build it with a fixed input size, or fit one with python -m train"
        )
    return int(shape[1]), int(shape[2])


def run_record(model: Path) -> dict[str, Any]:
    """``run.json`` of a run folder; empty for a ``.keras`` file.

    Raises:
        DataError: Neither of the two, or a record that cannot be read.
    """
    from train.runs import read_config

    if model.suffix == ".keras" and not model.is_dir():
        return {}
    if model.is_file():
        raise DataError(f"expected a run folder or a .keras file; came {model}; other formats may carry code")
    return read_config(model)


def pictures(source: Source, dataset: Any, part: str, limit: int | None) -> Pictures:
    """A part of the data set, each picture brought to the network's size by the device's own code.

    Raises:
        DataError: No such part, or classes that the model does not know.
    """
    from train.datasets.mapping import map_labels

    name = dataset.part_name(part)
    images, labels = dataset.parts[name].images[:limit], dataset.parts[name].labels[:limit]
    images = _as_seen(source, images)
    fitted = np.empty((len(images), source.height, source.width, 3), np.uint8)
    for place, image in zip(fitted, images, strict=True):
        place[...] = fit(image, source.height, source.width)
    return Pictures(name, fitted, map_labels(labels, dataset.labels, source.labels))


def calibration_pictures(source: Source, dataset: Any, count: int, seed: int, limit: int | None = None) -> np.ndarray:
    """Training pictures that start the ranges, not augmented, uint8 [n, height, width, 3].

    Args:
        source: For size and colour.
        dataset: Its training part is drawn from, without repetition.
        count: Pictures wanted; all where the part has fewer.
        seed: Of the drawing.
        limit: Draw from the first pictures only; None from all.
    """
    part = dataset.part("train")
    rows = np.random.default_rng(seed).permutation(len(part.images[:limit]))[:count]
    few = dataclasses.replace(dataset, parts={"few": part.take(rows)}, roles={})
    return pictures(source, few, "few", None).images


def _as_seen(source: Source, images: np.ndarray) -> np.ndarray:
    """Pictures uint8 [n, h, w] or [n, h, w, 3] in the colour and, of another data set, at the side of the training."""
    from train.datasets.mapping import as_colour, as_trained

    images = as_colour(images, source.colour)
    return images if source.own else as_trained(images, source.crop)


class TrainingBatches:
    """Augmented training pictures, the same for the same seed and step.

    Args:
        source: For size, colour and augmentation.
        dataset: Its training part is drawn from, without repetition within an epoch.
        batch: Pictures a step.
        limit: Only the first pictures.
        seed: Of order and augmentation.
    """

    def __init__(self, source: Source, dataset: Any, batch: int, limit: int | None, seed: int) -> None:
        from train.augmentation.augment import shrink_to
        from train.datasets.mapping import map_labels

        part = dataset.part("train")
        images = _as_seen(source, part.images[:limit])
        self._images = shrink_to(images, source.height, source.width)
        self._labels = map_labels(part.labels[:limit], dataset.labels, source.labels)
        self._source, self._seed = source, seed
        self.batch = min(batch, len(self._images))
        self.per_epoch = len(self._images) // self.batch if self.batch else 0
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Pictures uint8 [batch, height, width, 3] and labels int64 [batch] of a step."""
        from train.augmentation.augment import draw_matrices, warp

        epoch, index = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng((self._seed, epoch)).permutation(len(self._images)))
        rows = self._order[1][index * self.batch : (index + 1) * self.batch]
        matrices = draw_matrices(self._source.augment, np.random.default_rng((self._seed, 1 << 20, step)), len(rows))
        return warp(self._images[rows], matrices, self._source.height, self._source.width), self._labels[rows]


def described(source: Source) -> dict[str, Any]:
    """What the report says about the source."""
    return {
        "name": source.name,
        "backbone": source.backbone,
        "labels": list(source.labels),
        "input": [source.height, source.width, 3],
        "training_colour": source.colour,
        "crop": dataclasses.asdict(source.crop),
        "trained_on": source.trained_on,
    }
