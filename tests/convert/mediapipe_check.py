"""Prints as JSON what MediaPipe's ImageClassifier says about pictures; run by a Python that has mediapipe.

    python mediapipe_check.py MODEL.tflite FACES.npy

FACES.npy: (n, height, width, 3) uint8 RGB. Printed: {"version": mediapipe's, "results": [[[index, name, score], ...]]},
for each picture the classes in the order in which MediaPipe gives them. It imports nothing of this project: mediapipe
brings an OpenCV of its own, which would overwrite ours.
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib.metadata import version
from typing import Any


def main(model: str, faces: str) -> None:
    import numpy as np

    mp: Any = importlib.import_module("mediapipe")
    tasks: Any = importlib.import_module("mediapipe.tasks.python")
    vision = tasks.vision
    options = vision.ImageClassifierOptions(base_options=tasks.BaseOptions(model_asset_path=model), max_results=-1)
    results = []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for face in np.load(faces):
            found = classifier.classify(mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(face)))
            (head,) = found.classifications
            results.append([[entry.index, entry.category_name, entry.score] for entry in head.categories])
    print(json.dumps({"version": version("mediapipe"), "results": results}))


if __name__ == "__main__":
    main(*sys.argv[1:])
