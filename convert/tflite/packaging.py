"""The file that ships: flatbuffer with standard TFLite Metadata, then a stored zip with labels.txt and fer-edge.json.

Last step of the conversion. Android's and iOS's MediaPipe ``ImageClassifier`` reads the metadata and labels.txt;
``edge.inference.modelfile`` reads fer-edge.json. The same flatbuffer and contract give the same bytes.

Source: tensorflow.org/lite/models/convert/metadata (TFLite Metadata; associated files as a zip behind the flatbuffer).
"""

from __future__ import annotations

import dataclasses
import io
import zipfile

import flatbuffers

from convert.tflite import flatfile
from convert.third_party import metadata_schema_py_generated as schema
from edge.files import sha256_of
from edge.inference.contract import Contract
from edge.inference.modelfile import CONTRACT_NAME, LABELS_NAME

METADATA_NAME = "TFLITE_METADATA"
METADATA_IDENTIFIER = b"M001"
MINIMUM_PARSER = "1.0.0"
AUTHOR = "fer-edge"
EPOCH = (1980, 1, 1, 0, 0, 0)


def package(flatbuffer: bytes, contract: Contract) -> bytes:
    """The whole file.

    Args:
        flatbuffer: From TFLiteConverter; one input, one output.
        contract: All but ``flatbuffer_sha256``, which is set here.
    """
    model = flatfile.unpack(flatbuffer)
    flatfile.set_metadata(model, METADATA_NAME, metadata(contract))
    content = flatfile.pack(model)
    described = dataclasses.replace(contract, flatbuffer_sha256=sha256_of(content))
    labels = "".join(f"{label}\n" for label in contract.labels)
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, text in ((LABELS_NAME, labels), (CONTRACT_NAME, described.to_json())):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, text.encode())
    return stream.getvalue()


def metadata(contract: Contract) -> bytes:
    """The TFLite Metadata flatbuffer ("M001") of one picture in, one probability a label out."""
    subgraph = schema.SubGraphMetadataT()
    subgraph.name = "facial expression"
    subgraph.inputTensorMetadata = [_input(contract)]
    subgraph.outputTensorMetadata = [_output(contract)]
    root = schema.ModelMetadataT()
    root.name = contract.name
    root.description = f"{contract.description} Intended for: {contract.intended_use} Not for: {contract.not_for}"
    root.version = contract.version
    root.author = AUTHOR
    root.license = contract.licence
    root.minParserVersion = MINIMUM_PARSER
    root.subgraphMetadata = [subgraph]
    builder = flatbuffers.Builder(0)
    builder.Finish(root.Pack(builder), METADATA_IDENTIFIER)
    return bytes(builder.Output())


def _input(contract: Contract) -> schema.TensorMetadataT:
    size = schema.ImageSizeT()
    size.width, size.height = contract.input.width, contract.input.height
    picture = schema.ImagePropertiesT()
    picture.colorSpace = schema.ColorSpaceType.RGB
    picture.defaultSize = size
    normalization = schema.NormalizationOptionsT()
    normalization.mean, normalization.std = [128.0], [128.0]
    unit = schema.ProcessUnitT()
    unit.optionsType = schema.ProcessUnitOptions.NormalizationOptions
    unit.options = normalization
    tensor = schema.TensorMetadataT()
    tensor.name = "face"
    tensor.description = "One cropped face, RGB, raw pixels 0 to 255; the network normalizes them itself."
    tensor.content = _content(schema.ContentProperties.ImageProperties, picture)
    tensor.processUnits = [unit]
    tensor.stats = _stats(0.0, 255.0)
    return tensor


def _output(contract: Contract) -> schema.TensorMetadataT:
    labels = schema.AssociatedFileT()
    labels.name = LABELS_NAME
    labels.description = "Class names in the order of the output, one a line."
    labels.type = schema.AssociatedFileType.TENSOR_AXIS_LABELS
    tensor = schema.TensorMetadataT()
    tensor.name = "probability"
    tensor.description = f"Calibrated probabilities of {', '.join(contract.labels)}."
    tensor.content = _content(schema.ContentProperties.FeatureProperties, schema.FeaturePropertiesT())
    tensor.associatedFiles = [labels]
    tensor.stats = _stats(0.0, 1.0)
    return tensor


def _content(kind: int, properties: object) -> schema.ContentT:
    content = schema.ContentT()
    content.contentPropertiesType = kind
    content.contentProperties = properties
    return content


def _stats(low: float, high: float) -> schema.StatsT:
    stats = schema.StatsT()
    stats.min, stats.max = [low], [high]
    return stats
