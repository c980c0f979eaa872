"""Runs inside each tool's own environment and imports nothing of this project but where the tool is fer-edge.

faces_worker.py ADAPTER PICTURE...

Says {"ready": ...} when the tool is loaded; then, for each number of a picture on stdin, one JSON line: the
milliseconds of finding and classifying the faces of the decoded picture, and the answers. An error is said in its own
words.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Answer = list[dict[str, Any]]  # {"emotion": ..., "score": ...} a face
Recognize = Callable[[Any], Answer]  # of a (height, width, 3) uint8 BGR picture


def fer_edge() -> tuple[Recognize, str]:
    """Return fer-edge's recognizer and its version; it takes RGB, so the channels are turned before the clock runs."""
    import edge

    recognizer = edge.load(detector_model=os.environ.get("FER_EDGE_DETECTOR_MODEL"), threads=1)

    def recognize(picture: Any) -> Answer:
        faces = recognizer(picture).faces
        return [{"emotion": face.emotion, "score": face.probabilities[face.emotion]} for face in faces]

    return recognize, edge.__version__


def fer(smallest_px: int = 50) -> tuple[Recognize, str]:
    """Return fer's detector, by Haar as by default, and its version.

    Args:
        smallest_px: side of the smallest face that is looked for; 50 is its default.
    """
    from importlib.metadata import version

    from fer.fer import FER  # type: ignore[import-not-found]

    detector = FER(min_face_size=smallest_px)

    def recognize(picture: Any) -> Answer:
        found = [face["emotions"] for face in detector.detect_emotions(picture)]
        return [{"emotion": max(each, key=each.get), "score": float(max(each.values()))} for each in found]

    return recognize, version("fer")


def deepface() -> tuple[Recognize, str]:
    """Return deepface's analysis of emotions alone, and its version; one picture goes through it, as it loads late."""
    from importlib.metadata import version

    import numpy as np
    from deepface import DeepFace  # type: ignore[import-not-found]

    def recognize(picture: Any) -> Answer:
        found = DeepFace.analyze(
            img_path=picture, actions=["emotion"], detector_backend="opencv", enforce_detection=False, silent=True
        )
        known = [face for face in found if face.get("face_confidence", 1) > 0]
        return [{"emotion": face["dominant_emotion"], "score": max(face["emotion"].values()) / 100} for face in known]

    recognize(np.zeros((120, 160, 3), np.uint8))
    return recognize, version("deepface")


ADAPTERS: dict[str, Callable[[], tuple[Recognize, str]]] = {
    "fer-edge": fer_edge, "fer-edge-yunet": fer_edge, "fer": fer, "fer-30px": lambda: fer(30), "deepface": deepface,
}  # fmt: skip


def main() -> None:
    """Answer until stdin ends; what the tool itself prints goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        recognize, version = ADAPTERS[sys.argv[1]]()
        import cv2

        cv2.setNumThreads(1)
        pictures: list[Any] = [cv2.imread(path) for path in sys.argv[2:]]
        if ADAPTERS[sys.argv[1]] is fer_edge:
            pictures = [picture[..., ::-1].copy() for picture in pictures]
        _say(out, {"ready": version, "opencv": cv2.__version__})
        for line in sys.stdin:
            start = time.perf_counter_ns()
            faces = recognize(pictures[int(line)])
            _say(out, {"ms": (time.perf_counter_ns() - start) / 1e6, "faces": faces})
    except Exception as error:  # whatever another package raises is what is to be told
        _say(out, {"error": f"{type(error).__name__}: {error}"})


def _say(out: Any, words: dict[str, Any]) -> None:
    print(json.dumps(words), file=out, flush=True)


if __name__ == "__main__":
    main()
