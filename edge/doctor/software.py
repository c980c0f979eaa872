"""Checks of the software, each by using it: OpenCV, interpreter, detector, model, delegate, cache folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from edge.doctor.check import Check, mib
from edge.wording import counted

LOW_DISK_BYTES = 50 << 20
_OPENCV_DISTRIBUTIONS = (
    "opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless",
)  # fmt: skip


def opencv() -> Check:
    """Whether OpenCV works, and is there once."""
    import importlib.metadata

    import cv2
    import numpy as np

    from edge.pictures.images import decode_image

    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    if not np.array_equal(decode_image(encoded), picture[:, :, ::-1]):
        raise ValueError("expected a PNG to come back unchanged; got other pixels; reinstall OpenCV")
    installed = []
    for name in _OPENCV_DISTRIBUTIONS:
        try:
            installed.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    facts = {"version": cv2.__version__, "numpy": np.__version__, "distributions": installed}
    detail = f"{cv2.__version__}, numpy {np.__version__}"
    if len(installed) > 1:
        advice = "they overwrite each other: pip uninstall all of them, then install opencv-python-headless alone"
        return Check("opencv", "warn", f"{detail}; installed: {', '.join(installed)}", advice, facts)
    return Check("opencv", "ok", detail, facts=facts)


def runtime() -> Check:
    """Which interpreter runs the model."""
    from edge.inference.interpreter import find_runtime

    found = find_runtime()[1]
    detail = f"{found['name']} {found['version']}"
    if found["name"] == "tflite-runtime":
        advice = (
            "use ai-edge-litert where it has a wheel (64-bit): tflite-runtime 2.14 runs int8 outside XNNPACK, with "
            "1.9 (Pi 4) to 4.0 (Pi 5) times the instructions on 64-bit cores"
        )
        return Check("runtime", "warn", detail, advice, dict(found))
    if found["name"] == "tensorflow":
        return Check("runtime", "warn", detail, "pip install ai-edge-litert: it loads much faster", dict(found))
    return Check("runtime", "ok", detail, facts=dict(found))


def detector() -> Check:
    """Which face detector there is, by looking for faces in a black picture."""
    import numpy as np

    from edge.detectors import BLAZEFACE_NAME, YUNET_NAME, load_detector
    from edge.files import cache_dir

    found = load_detector()
    faces = len(found.detect(np.zeros((64, 64, 3), np.uint8)))
    if faces:
        raise ValueError(f"expected no face in a black picture; got {faces} from {found.name}; reinstall OpenCV")
    if found.name == "haar":  # nothing is cached, or there is no place for it
        facts = {"name": found.name, "cached": []}
        return Check("detector", "ok", "haar, frontal faces only", "`fer-edge fetch yunet` for a better one", facts)
    cached = {name: (cache_dir() / name).is_file() for name in (YUNET_NAME, BLAZEFACE_NAME)}
    facts = {"name": found.name, "cached": [name for name, there in cached.items() if there]}
    return Check("detector", "ok", f"{found.name}, {', '.join(facts['cached'])} in the cache folder", facts=facts)


def model(path: str | os.PathLike[str] | None = None) -> Check:
    """Whether the model is whole, loads and runs, and how fast."""
    import numpy as np

    from edge.benchmarking.latency import Rounds, timed_in_turns
    from edge.inference.interpreter import Classifier
    from edge.inference.modelfile import read_model

    classifier = Classifier(read_model(path))
    found = classifier.model
    median_ms = float(np.median(timed_in_turns([classifier], Rounds(timed=20, warmup=3)).samples))
    contract = found.contract
    facts = {
        "path": str(found.path), "sha256": found.sha256, "name": contract.name, "version": contract.version,
        "recipe": contract.recipe, "load_ms": round(classifier.load_ms, 3), "median_ms": round(median_ms, 4),
    }  # fmt: skip
    return Check(
        "model",
        "ok",
        f"{contract.name} {contract.version} ({contract.recipe}), sha256 {found.sha256[:12]}...: loaded in "
        f"{classifier.load_ms:.0f} ms, {median_ms:.2f} ms a face with one thread",
        facts=facts,
    )


def xnnpack(path: str | os.PathLike[str] | None = None) -> Check:
    """Whether XNNPACK runs the model: the interpreter's own list of operators says so."""
    from edge.inference.delegation import delegation
    from edge.inference.interpreter import find_runtime
    from edge.inference.modelfile import read_model

    make_interpreter, found = find_runtime()
    interpreter = make_interpreter(model_content=read_model(path).content, num_threads=1)
    interpreter.allocate_tensors()
    spread = delegation(interpreter)
    if spread is None:
        detail = f"{found['name']} {found['version']} does not list its operators"
        return Check("xnnpack", "unknown", detail, facts={"partitions": None, "operators": None, "outside": None})
    facts = spread.to_dict()
    if not spread.partitions:
        detail = f"not in use: {found['name']} {found['version']} runs the {spread.operators} operators itself"
        return Check("xnnpack", "warn", detail, "use a current ai-edge-litert (64-bit systems)", facts)
    outside = ", ".join(f"{count} {name}" for name, count in spread.outside.items()) or "none"
    detail = (
        f"runs {spread.operators - sum(spread.outside.values())} of {spread.operators} operators in "
        f"{counted(spread.partitions, 'partition')}; outside: {outside}"
    )
    return Check("xnnpack", "ok", detail, facts=facts)


def disk() -> Check:
    """Whether the cache folder has room."""
    from edge.errors import EdgeError
    from edge.files import cache_dir

    try:
        folder = cache_dir()
    except EdgeError:
        nothing = {"cache": None, "free_bytes": None, "writable": False}
        return Check("disk", "warn", "this account has no home folder", "set FER_EDGE_CACHE to a folder", nothing)
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    free, writable = shutil.disk_usage(existing).free, os.access(existing, os.W_OK)
    facts = {"cache": str(folder), "free_bytes": free, "writable": writable}
    detail = f"{mib(free)} free for {folder}"
    if not writable:
        return Check("disk", "warn", f"{folder} cannot be written", "set FER_EDGE_CACHE to another folder", facts)
    if free < LOW_DISK_BYTES:
        return Check("disk", "warn", detail, "make room, or set FER_EDGE_CACHE to another folder", facts)
    return Check("disk", "ok", detail, facts=facts)


SOFTWARE: tuple[tuple[str, Callable[[str | os.PathLike[str] | None], Check]], ...] = (
    ("opencv", lambda _: opencv()),
    ("runtime", lambda _: runtime()),
    ("detector", lambda _: detector()),
    ("model", model),
    ("xnnpack", xnnpack),
    ("disk", lambda _: disk()),
)
