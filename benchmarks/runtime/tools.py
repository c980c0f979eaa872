"""The packages that are measured side by side: what is installed for each, and what is known about it.

Versions were tried in November 2026 with Python 3.11 on x86-64. torch is held to a build for processors alone where the
machine's package sources have one: without it, facenet-pytorch brings several GB of CUDA.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OURS = "fer-edge"
YUNET = "fer-edge-yunet"
_TORCH = "torch==2.13.0"
_OLD = "held to setuptools below 81 and OpenCV below 5, without which it ends with \"No module named 'pkg_resources'\""


@dataclass(frozen=True)
class Tool:
    """One package in one version.

    Attributes:
        adapter: a key of `faces_worker.ADAPTERS`.
        requirements: as pip takes them; empty: fer-edge's own wheel. Equal ones share an environment.
        note: what a reader must know.
    """

    adapter: str
    requirements: tuple[str, ...]
    note: str


_FER = ("fer==25.10.3", "setuptools<81", "opencv-contrib-python<5", _TORCH)
TOOLS = {
    OURS: Tool("fer-edge", (), "base install of the wheel and the model that ships; Haar, faces from 30 pixels"),
    YUNET: Tool("fer-edge-yunet", (), "the same with YuNet, which is fer-edge's default where its file was fetched"),
    "fer": Tool("fer", _FER, f"its defaults: Haar, faces from 50 pixels; {_OLD}"),
    "fer-30px": Tool("fer-30px", _FER, "the same, but faces from 30 pixels, as fer-edge looks for them"),
    "deepface": Tool(
        "deepface",
        ("deepface==0.0.103", "werkzeug"),
        "emotion alone, OpenCV's detector, its default; werkzeug, which it imports, is not among what it asks for",
    ),
}


def answers_text(answers: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    """Return what a tool says of each picture: the emotions of the faces that it found, or that it found none."""
    return "; ".join(
        f"{picture}: {', '.join(face['emotion'] for face in faces) or 'no face'}" for picture, faces in answers.items()
    )
