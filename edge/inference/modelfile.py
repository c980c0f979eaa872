"""Reading a self-describing .tflite: every check that can be made before an interpreter sees the bytes.

The file is a TFLite flatbuffer followed by an uncompressed zip (TFLite's own way of packing associated files) with
`labels.txt`, one class name a line in the order of the output, and `fer-edge.json`, the contract. The sha256 of the
flatbuffer part stands in the contract, so that a damaged or swapped network is told from the one described.
"""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ContractError, ModelFileError
from edge.files import sha256_of
from edge.inference.contract import Contract
from edge.inference.flatbuffer import IDENTIFIER, TensorInfo, read_signature

LABELS_NAME = "labels.txt"
CONTRACT_NAME = "fer-edge.json"
SHIPPED = ("default", "small")
"""Names of the models that ship in the package, the first when none is named."""
MAX_MODEL_BYTES = 1 << 29  # 512 MB, far above any network that a device can run
_MAX_TEXT_BYTES = 1 << 20
_WITHOUT_DEFAULT = "this package ships no model: give one with --model"
_WITHOUT_NAMED = "this package ships no model of that name: name a .tflite"
_WRONG_PATH = f"check the path; the names of the models that ship are {' and '.join(SHIPPED)}"


@dataclass(frozen=True)
class ModelFile:
    """A checked model file.

    Attributes:
        path: where it was read.
        content: the whole file, as an interpreter takes it.
        sha256: of the whole file.
        size_bytes: of the whole file.
        contract: what the file says about itself.
        labels: class names in the order of the output.
        input: the input tensor: (1, height, width, 3) uint8.
        output: the output tensor: (1, classes) uint8 with scale and zero point, or float32.
    """

    path: Path
    content: bytes
    sha256: str
    size_bytes: int
    contract: Contract
    labels: tuple[str, ...]
    input: TensorInfo
    output: TensorInfo

    def __repr__(self) -> str:
        """Return a short text without the content."""
        return f"ModelFile({str(self.path)!r}, {self.contract.name} {self.contract.recipe}, {self.size_bytes:,} bytes)"


def default_model_path() -> Path:
    """Return the path of the trained model that ships in the package (the file may be absent in a source tree)."""
    return shipped_model_path("default")


def shipped_model_path(name: str) -> Path:
    """Return the path of a model that ships in the package, one of `SHIPPED` (the file may be absent, as above)."""
    return Path(__file__).parents[1] / "models" / f"{name}.tflite"


def read_model(path: str | os.PathLike[str] | None = None) -> ModelFile:
    """Return a model file, checked.

    Args:
        path: the .tflite, or, as a str, the name of one that ships in the package ("default", "small"; a file of such a
            name is a Path, or "./small"); None: the default.

    Raises:
        ModelFileError: missing, empty, no TFLite, damaged, without our labels and contract, or its tensors disagree
            with them. The text begins with the path.
        ContractError: `fer-edge.json` breaks its schema. The text begins with the path.
    """
    named = isinstance(path, str) and path in SHIPPED
    file = default_model_path() if path is None else shipped_model_path(str(path)) if named else Path(path)
    content = _read_file(file, _WITHOUT_NAMED if named else _WITHOUT_DEFAULT if path is None else _WRONG_PATH)
    try:
        return parse_model(content, file)
    except (ModelFileError, ContractError) as error:
        raise type(error)(f"{file}: {error}") from error


def parse_model(content: bytes, path: str | os.PathLike[str] = "memory") -> ModelFile:
    """Return a model file's content, checked as `read_model` does; the error texts lack the path."""
    if content[4:8] != IDENTIFIER:
        raise ModelFileError(
            f"expected a TFLite model (TFL3 at byte 4); got {content[4:8]!r}; give a .tflite from `python -m convert`"
        )
    labels_text, contract_text, flatbuffer_bytes = _read_associated_files(content)
    contract = Contract.from_json(contract_text)
    came = sha256_of(content[:flatbuffer_bytes])
    if came != contract.flatbuffer_sha256:
        raise ModelFileError(
            f"expected a network with sha256 {contract.flatbuffer_sha256[:12]}... as fer-edge.json says; got "
            f"{came[:12]}...; copy or export the file again"
        )
    labels = _labels(labels_text, contract)
    inputs, outputs = read_signature(content[:flatbuffer_bytes])
    _check_input(inputs, contract)
    _check_output(outputs, contract)
    return ModelFile(Path(path), content, sha256_of(content), len(content), contract, labels, inputs[0], outputs[0])


def _read_file(path: Path, remedy: str) -> bytes:
    try:
        size = path.stat().st_size
        if path.is_dir() or size > MAX_MODEL_BYTES:
            came = "a folder" if path.is_dir() else f"{size:,} bytes"
            raise ModelFileError(
                f"{path}: expected a .tflite of at most {MAX_MODEL_BYTES:,} bytes; got {came}; name the model file"
            )
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"{path}: expected a model file; got no such file; {remedy}") from None
    except OSError as error:
        raise ModelFileError(
            f"{path}: expected a readable model file; got: {error.strerror}; check the path and its rights"
        ) from error
    if not content:
        raise ModelFileError(f"{path}: expected a model file; got an empty file (0 bytes); copy it again")
    return content


def _read_associated_files(content: bytes) -> tuple[bytes, bytes, int]:
    """Return labels.txt, fer-edge.json and the number of bytes before the zip."""
    remedy = "convert the network with `python -m convert`, which writes them"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: info for info in archive.infolist()}
            for name in (LABELS_NAME, CONTRACT_NAME):
                if name not in members:
                    raise ModelFileError(f"expected the associated file {name}; got {sorted(members)}; {remedy}")
                if members[name].compress_type != zipfile.ZIP_STORED or members[name].file_size > _MAX_TEXT_BYTES:
                    raise ModelFileError(f"expected {name} stored uncompressed, at most 1 MiB; got otherwise; {remedy}")
            start = min(info.header_offset for info in archive.infolist())
            return archive.read(LABELS_NAME), archive.read(CONTRACT_NAME), start
    except zipfile.BadZipFile as error:
        raise ModelFileError(
            f"expected a TFLite model with {LABELS_NAME} and {CONTRACT_NAME} packed behind it; got no sound zip "
            f"there ({error}): a foreign or damaged file; {remedy}"
        ) from error
    except (RuntimeError, NotImplementedError, OSError, ValueError, EOFError, OverflowError) as error:
        raise ModelFileError(
            f"expected a sound zip behind the network; got {error}; copy or export it again"
        ) from error


def _labels(text: bytes, contract: Contract) -> tuple[str, ...]:
    try:
        labels = tuple(text.decode("utf-8").split())
    except UnicodeDecodeError as error:
        raise ModelFileError(f"expected UTF-8 in {LABELS_NAME}; got {error.reason}; export the model again") from error
    if labels != contract.labels:
        raise ModelFileError(
            f"expected the same labels in {LABELS_NAME} and {CONTRACT_NAME}; got {', '.join(labels)} and "
            f"{', '.join(contract.labels)}; export the model again"
        )
    return labels


def _check_input(inputs: tuple[TensorInfo, ...], contract: Contract) -> None:
    shape = (1, contract.input.height, contract.input.width, 3)
    if len(inputs) != 1 or inputs[0].shape != shape or inputs[0].dtype != contract.input.dtype:
        raise ModelFileError(
            f"expected one input {contract.input.dtype} {list(shape)} as {CONTRACT_NAME} says; got {_listed(inputs)}; "
            "export the model again"
        )


def _check_output(outputs: tuple[TensorInfo, ...], contract: Contract) -> None:
    shape = (1, len(contract.labels))
    sound = len(outputs) == 1 and outputs[0].shape == shape and outputs[0].dtype in ("uint8", "float32")
    if not sound or (outputs[0].dtype == "uint8" and outputs[0].scale is None):
        raise ModelFileError(
            f"expected one output {list(shape)}, quantized uint8 or float32, one probability a label; got "
            f"{_listed(outputs)}; export the model again"
        )


def _listed(tensors: tuple[TensorInfo, ...]) -> str:
    return ", ".join(f"{tensor.dtype} {list(tensor.shape)}" for tensor in tensors) or "none"
