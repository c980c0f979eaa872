"""The run folder: ``model.keras``, ``run.json``, ``history.csv``, plots, and ``state.npz`` to go on from.

What passes from training to conversion. ``run.json`` carries everything that is needed to repeat the run and to use its
model: backbone, input, labels, crop, recipe, data fingerprint, metrics and versions.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import DataError
from edge.files import atomic_path, sha256_of, write_atomically

if TYPE_CHECKING:
    import keras

SCHEMA = 1
MODEL_FILE = "model.keras"
NEXT_MODEL_FILE = "model-next.keras"
CONFIG_FILE = "run.json"
HISTORY_FILE = "history.csv"
STATE_FILE = "state.npz"
CARRIERS_OF_CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
CONFIG_LIMIT_BYTES = 64 << 20
REQUIRED = ("schema", "name", "backbone", "input", "labels", "crop", "recipe", "data")


@dataclass(frozen=True, eq=False)
class Run:
    """A finished (or interrupted) training run on disk.

    Attributes:
        path: the run folder.
        config: contents of ``run.json``.
        model: pictures ``(n, height, width, 3)`` in 0–255 -> logits ``(n, classes)``.
    """

    path: Path
    config: dict[str, Any]
    model: keras.Model


def read_config(path: Path) -> dict[str, Any]:
    """Return the contents of a run's ``run.json``.

    Raises:
        DataError: there is no run at ``path`` or its file is broken.
    """
    file = path / CONFIG_FILE
    if not file.is_file():
        raise DataError(
            f"expected a run folder with {CONFIG_FILE} at {path}; there is none; train one with "
            "python -m train fit, or check the path"
        )
    return read_record(file)


def read_record(file: Path) -> dict[str, Any]:
    """Return the contents of a ``run.json``, wherever it is kept.

    Raises:
        DataError: it cannot be read, or is no run's.
    """
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as cause:
        raise DataError(f"expected JSON in {file}; {cause}; train the run anew") from cause
    missing = [key for key in REQUIRED if not isinstance(config, dict) or key not in config]
    if missing:
        raise DataError(f"expected {', '.join(REQUIRED)} in {file}; no {', '.join(missing)}; train the run anew")
    if config["schema"] != SCHEMA:
        raise DataError(f"expected schema {SCHEMA} in {file}; got {config['schema']}; use the matching fer-edge")
    return config


def load_run(path: str | Path) -> Run:
    """Return a run with its best model.

    Raises:
        DataError: no run there, or it has no model yet.
    """
    path = Path(path)
    config = read_config(path)
    return Run(path, config, load_model(path / MODEL_FILE))


def load_model(path: Path) -> keras.Model:
    """Return the Keras model in a ``.keras`` file, without its optimizer; the file need not be trusted.

    Keras' safe mode forbids code in the file; beyond that only classes of Keras and of fer-edge are built, and no
    Lambda or wrapper of another framework's saved code.

    Raises:
        DataError: no file, another format, code inside, or Keras cannot read it.
    """
    import keras

    import train.layerscale  # noqa: F401  (registers its layer)

    if not path.exists():
        raise DataError(f"expected a Keras model at {path}; nothing is there; finish the training or check the path")
    if path.is_dir() or path.suffix != ".keras":
        raise DataError(
            f"expected a Keras model as a .keras file; got {path}; other formats (.h5, pickles, SavedModel folders) "
            "may carry code; save it with model.save('NAME.keras')"
        )
    _refuse_foreign_bytes(path)
    _refuse_code(path)
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as cause:  # Keras raises whatever its zip, JSON or HDF5 reader meets
        first = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise DataError(f"expected a Keras model in {path}; {first[:200]}; write it again") from cause


def _refuse_foreign_bytes(path: Path) -> None:
    if zipfile.is_zipfile(path):
        return
    with open(path, "rb") as stream:
        head = stream.read(8)
    kind = "an .h5 file" if head[1:4] == b"HDF" else "a pickle" if head[:1] == b"\x80" else "cut short or foreign"
    raise DataError(
        f"expected a Keras model (a zip) in {path}; got {path.stat().st_size:,} bytes that are none, {kind}; "
        "copy it again, or train it anew"
    )


def _refuse_code(path: Path) -> None:
    """Read the architecture as plain JSON and refuse classes that run code from the file or are none of ours."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > CONFIG_LIMIT_BYTES:
                raise ValueError("too large")
            config = json.loads(archive.read("config.json"))
    except (KeyError, ValueError, OSError, RecursionError, zipfile.BadZipFile) as cause:
        raise DataError(f"expected a Keras model in {path}; no readable config.json in it; write it again") from cause
    for entry in _objects(config):
        name, module = entry["class_name"], entry.get("module")
        if name in CARRIERS_OF_CODE:
            raise DataError(
                f"expected a model of plain layers in {path}; it holds a {name.strip('_')} layer, which can run any "
                "code; rebuild the model without it"
            )
        registered = str(entry.get("registered_name") or "")
        keras_own = module is None or module in ("builtins", "keras") or str(module).startswith("keras.")
        if not keras_own and not registered.startswith("fer_edge>"):
            raise DataError(
                f"expected layers of Keras in {path}; it asks for {module}.{name}; rebuild the model without it"
            )


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str):
            yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def write_config(path: Path, config: dict[str, Any]) -> None:
    """Write ``run.json`` atomically."""
    write_atomically(path / CONFIG_FILE, json.dumps(config, indent=1) + "\n")


def save_model(path: Path, model: keras.Model, name: str = MODEL_FILE) -> None:
    """Write ``model.keras``, or the file ``name``, atomically.

    Give a model that was never compiled, or its optimizer's state goes along.
    """
    with atomic_path(path / name) as temporary:
        kept = temporary.with_suffix(".keras")
        model.save(kept)
        kept.replace(temporary)


def settle_model(path: Path, model_sha256: str | None) -> None:
    """Let the next model take the place of ``model.keras`` if it is the one that the state tells of, else drop it.

    So that a run that was killed between its model and its state goes on from the model that belongs to its state.

    Args:
        path: the run folder.
        model_sha256: of the best model so far; None where there is none, or where an earlier version wrote the state.
    """
    following = path / NEXT_MODEL_FILE
    if not following.is_file():
        return
    if sha256_of(following) == model_sha256:
        following.replace(path / MODEL_FILE)
    else:
        following.unlink()
