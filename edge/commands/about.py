"""`fer-edge about`: what this is for and not for, what the law says, what happens to pictures, whose work is in it."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import click

from edge import __version__
from edge.cli import printable
from edge.commands.options import json_option

_WIDTH = 118
_WHAT = (
    "fer-edge labels facial expressions in pictures with seven words. An expression is not a feeling: the label says "
    "what annotators of pictures would have called the face, not what the person feels, thinks or intends."
)
_FOR = "Research and teaching on facial expressions, and interfaces whose users know of it and have agreed."
_NOT_FOR = (
    "Judging people or deciding about them (hiring, schooling, policing, border control, insurance, credit, health), "
    "watching people without their knowledge, or identifying anyone."
)
_LAW = (
    (
        "article 5(1)(f)",
        "2025-02-02",
        "It is prohibited to place on the market, to put into service for this purpose or to use AI systems that infer "
        "emotions of a natural person in the areas of workplace and education institutions, except for medical or "
        "safety reasons.",
    ),
    (
        "article 50(3)",
        "2026-08-02",
        "Who deploys an emotion recognition system informs the persons exposed to it that it operates, and processes "
        "their personal data as the data protection law (GDPR) asks.",
    ),
)  # provision, applies from, what it says in short
_LAW_NAME = "Regulation (EU) 2024/1689 (Artificial Intelligence Act)"
_NO_ADVICE = "A summary of November 2026 by engineers and no legal advice; other countries have rules of their own."
_PRIVACY = (
    "Pictures stay in this machine's memory; one is written only where an output is asked for.",
    "Results (box, emotion, probabilities) go to where you send them; about a person, they are personal data.",
    "No command but `fer-edge fetch` opens a connection, and nothing is sent anywhere: no telemetry. `fer-edge serve` "
    "shows its page to this machine alone unless --host says otherwise; then a token is asked for.",
)
_DATA = (
    "The shipped models learned from FER2013 (Goodfellow et al. 2013), pictures scraped from the web and meant for "
    "research, with noisy labels and faces that do not represent everybody, on top of ImageNet weights. None of the "
    "pictures is in this package; its file models/NOTICE tells the origin in full."
)
_THIRD_PARTIES = (
    ("EfficientNet-Lite0 by Google, architecture and starting weights", "Apache-2.0", "in the shipped models"),
    ("LiteRT or tflite-runtime by Google", "Apache-2.0", "dependency"),
    ("OpenCV", "Apache-2.0", "dependency"),
    ("FFmpeg", "LGPL-2.1", "inside OpenCV's wheels"),
    ("Lienhart's Haar cascade for frontal faces", "Intel License Agreement", "inside OpenCV's wheels"),
    ("NumPy", "BSD-3-Clause", "dependency"),
    ("click", "BSD-3-Clause", "dependency"),
    ("aiohttp", "Apache-2.0", "only with the extra serve"),
    ("YuNet", "MIT", "only if fetched"),
    ("BlazeFace by Google", "Apache-2.0", "only if fetched"),
)


@click.command(short_help="What this is for, what the law says, privacy, licences.")
@json_option
def about(as_json: bool) -> None:
    """Say what this is for and what not, what the EU's AI Act says, what happens to pictures, whose work is in it."""
    found = facts()
    click.echo(json.dumps(found, indent=2, allow_nan=False) if as_json else _text(found))


def facts() -> dict[str, Any]:
    """Return `fer-edge about --json`'s object; "models" holds those that ship, the default first ("model", or null)."""
    from edge.inference.modelfile import SHIPPED, default_model_path, read_model, shipped_model_path

    paths = [default_model_path(), *map(shipped_model_path, SHIPPED[1:])]
    models = []
    for path in paths:
        if not path.exists():
            continue
        contract = read_model(path).contract
        models.append(
            {
                "name": contract.name,
                "version": contract.version,
                "description": contract.description,
                "licence": contract.licence,
                "intended_use": contract.intended_use,
                "not_for": contract.not_for,
                "data": contract.data.get("name", "unknown"),
            }
        )
    return {
        "name": "fer-edge",
        "version": __version__,
        "licence": "Apache-2.0",
        "what": _WHAT,
        "intended_use": _FOR,
        "not_for": _NOT_FOR,
        "law": {
            "name": _LAW_NAME,
            "provisions": [
                {"provision": provision, "applies_from": date, "summary": summary} for provision, date, summary in _LAW
            ],
            "note": _NO_ADVICE,
        },
        "privacy": list(_PRIVACY),
        "data": _DATA,
        "third_parties": [
            {"name": name, "licence": licence, "where": where} for name, licence, where in _THIRD_PARTIES
        ],
        "model": models[0] if paths[0].exists() else None,
        "models": models,
    }


def _text(found: dict[str, Any]) -> str:
    law = found["law"]
    paragraphs = [
        f"{found['name']} {found['version']}, {found['licence']}. {found['what']}",
        f"For: {found['intended_use']}",
        f"Not for: {found['not_for']}",
        f"The law in the European Union: {law['name']}.",
        *(
            f"  {entry['provision']}, applies from {entry['applies_from']}: {entry['summary']}"
            for entry in law["provisions"]
        ),
        f"  {law['note']}",
        "Privacy:",
        *(f"  {line}" for line in found["privacy"]),
        f"Data: {found['data']}",
        "Third parties:",
        *(f"  {entry['name']} ({entry['licence']}), {entry['where']}" for entry in found["third_parties"]),
    ]
    for model in found["models"]:
        paragraphs += [
            f"Model: {model['name']} {model['version']}, {model['licence']}. {model['description']}",
            f"  For: {model['intended_use']}",
            f"  Not for: {model['not_for']}",
        ]
    return "\n".join(_wrapped(printable(paragraph)) for paragraph in paragraphs)


def _wrapped(paragraph: str) -> str:
    indent = "  " if paragraph.startswith("  ") else ""
    return textwrap.fill(
        paragraph.strip(),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
