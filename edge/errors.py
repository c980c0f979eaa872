"""The errors that a user can meet: one small tree, every text one line.

Each text says what was expected, what came, and what to do. Wrong arguments from Python raise `ValueError` instead.
"""

from __future__ import annotations


class EdgeError(Exception):
    """Root of every error about a file, a device or the network; commands print its text in one line and exit 1."""


class ModelFileError(EdgeError):
    """The model file is missing, damaged, foreign, or its tensors disagree with what it says about itself."""


class ContractError(EdgeError):
    """A contract (`fer-edge.json`) lacks a field or holds a value outside its schema."""


class ImageError(EdgeError):
    """A picture is missing, empty, damaged, too large, or no picture at all."""


class DataError(EdgeError):
    """A data set, pack, record or CSV file is not what it should be."""


class OutputError(EdgeError):
    """A file cannot be written where it was asked for."""


class DetectorError(EdgeError):
    """A face detector cannot be loaded."""


class DownloadError(EdgeError):
    """A download failed or delivered other bytes than the pinned ones."""


class CameraError(EdgeError):
    """A camera or stream cannot be opened or stopped delivering."""
