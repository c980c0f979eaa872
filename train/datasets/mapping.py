"""A data set's labels and pictures as a run knows them: classes by name, colours and size as it was trained on."""

from __future__ import annotations

import numpy as np

from edge.errors import DataError
from edge.inference.contract import CropSpec

LUMINANCE = (0.299, 0.587, 0.114)  # share of red, green and blue in grey: ITU-R BT.601, as cv2.COLOR_RGB2GRAY


def map_labels(labels: np.ndarray, source: tuple[str, ...], target: tuple[str, ...]) -> np.ndarray:
    """Return int64 labels ``(n,)`` of ``source``'s order in ``target``'s order, by class name.

    ``source`` may lack classes of ``target``.

    Raises:
        DataError: a class of ``source`` is not in ``target``.
    """
    unknown = [name for name in source if name not in target]
    if unknown:
        raise DataError(
            f"expected the classes {', '.join(target)}; the data set also has {', '.join(unknown)}; "
            "evaluate on a data set with the run's classes"
        )
    return np.array([target.index(name) for name in source], np.int64)[labels]


def as_colour(images: np.ndarray, colour: str) -> np.ndarray:
    """Return uint8 pictures as the network was trained on them: luminance ``(n, h, w)`` for ``grey``, else unchanged.

    Luminance is the sum of the channels by ``LUMINANCE``, what the converter folds into the first kernel.
    """
    if colour == "grey" and images.ndim == 4:
        import cv2

        return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])
    return images


def as_trained(images: np.ndarray, crop: CropSpec) -> np.ndarray:
    """Return pictures, uint8 ``(n, h, w[, 3])``, at the side that the training pictures had, where the crop names one.

    Those of that size come back unchanged. A device brings any face to its model by way of that side.
    """
    from edge.pictures.preprocess import fit_face

    side = crop.resolution_px
    if side is None or images.shape[1:3] == (side, side):
        return images
    return np.stack([fit_face(image, crop, side, side) for image in images])
