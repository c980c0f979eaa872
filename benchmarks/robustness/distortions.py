"""What is done to the faces of a pack: one list of conditions with their strengths, the same for every model.

A face is distorted in its own pixels, before it is brought into a model's size. Strengths are those of severity 3, and
1 where there are two, of the corruptions published for pictures of 64 pixels, the nearest to FER2013's 48. A pixel is
one of the pack's, so that a length means less on larger pictures. Results are rounded to whole values, 0..255.

Source: Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
and its Tiny-ImageNet-C (blur, noise, brightness, contrast, JPEG); Greco et al. 2023, "Benchmarking deep networks for
facial emotion recognition in the wild" (the same on FER, brightness both ways). Rotation, halves and resolution are
ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import DataError
from edge.pictures.preprocess import fit

GREY = 128  # what hides half a face
LEVELS = 255
SMALL_PX = 24
OF_RANGE = "share of the full range"
Image = npt.NDArray[np.uint8]  # (h, w) grey or (h, w, 3) RGB
Distort = Callable[[Image, np.random.Generator], Image]


@dataclass(frozen=True)
class Condition:
    """One way in which all faces are distorted.

    Attributes:
        name: a word, unique.
        kind: what the strengths of one distortion have in common; "none" for the faces as they are.
        text: what is done, for readers.
        strength: a number in `unit`; None: there is none.
        unit: of the strength.
        distort: the distortion of one face.
    """

    name: str
    kind: str
    text: str
    strength: float | None
    unit: str | None
    distort: Distort


def distorted(images: Sequence[Image] | Image, condition: Condition, seed: int) -> Iterator[Image]:
    """Yield each face of a pack distorted, of the same shape.

    Args:
        images: (n, h, w) grey or (n, h, w, 3) RGB, uint8.
        condition: what is done.
        seed: of what is drawn by chance; the same seed gives the same pictures, whatever else was drawn before.
    """
    generator = np.random.default_rng([seed, *condition.name.encode()])
    for image in images:
        yield condition.distort(image, generator)


def check_size(images: Image, file: str) -> None:
    """Raise DataError where the faces of a pack are no larger than what `resolution` reduces them to."""
    rows, columns = images.shape[1:3]
    if min(rows, columns) <= SMALL_PX:
        raise DataError(
            f"{file}: expected faces of more than {SMALL_PX} pixels a side, to be reduced to that; got {rows} x "
            f"{columns}; pack them in their own size"
        )


def unchanged(image: Image, _: np.random.Generator) -> Image:
    """Return the face as it is."""
    return image


def blur(image: Image, _: np.random.Generator, sigma_px: float) -> Image:
    """Return the face under a Gaussian of `sigma_px` pixels, the border repeated."""
    return _rounded(
        cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE).astype(np.float64)
    )


def noise(image: Image, generator: np.random.Generator, deviation: float) -> Image:
    """Return the face with Gaussian noise, drawn for each value; `deviation` is a share of the full range."""
    return _rounded(image + generator.normal(0.0, deviation * LEVELS, image.shape))


def brightness(image: Image, _: np.random.Generator, change: float) -> Image:
    """Return the face with `change`, a share of the full range, added to each pixel's value V of HSV.

    V is the largest of a pixel's values; hue and saturation stay, so its values are scaled together; black turns grey.
    """
    values = image.astype(np.float64)
    value = values if image.ndim == 2 else values.max(axis=2, keepdims=True)
    wanted = np.clip(value + change * LEVELS, 0, LEVELS)
    return _rounded(np.where(value > 0, values * wanted / np.maximum(value, 1), wanted))


def contrast(image: Image, _: np.random.Generator, factor: float) -> Image:
    """Return the face with the distance of each value from the mean of its channel multiplied by `factor`."""
    mean = image.mean(axis=(0, 1), keepdims=True)
    return _rounded((image - mean) * factor + mean)


def jpeg(image: Image, _: np.random.Generator, quality: int) -> Image:
    """Return the face after JPEG of a quality of 1..100, written and read by OpenCV; RGB with halved colours."""
    grey = image.ndim == 2
    done, coded = cv2.imencode(".jpg", image if grey else image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR) if done else None
    if decoded is None:
        raise ValueError(f"expected a picture that OpenCV writes as JPEG; got shape {image.shape}; update OpenCV")
    return np.ascontiguousarray(decoded if grey else decoded[..., ::-1], np.uint8)


def rotation(image: Image, _: np.random.Generator, clockwise_deg: float) -> Image:
    """Return the face turned about its centre, clockwise as it is looked at; linear, the border repeated."""
    rows, columns = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), -clockwise_deg, 1.0)
    turned = cv2.warpAffine(
        image.astype(np.float32), turn, (columns, rows), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return _rounded(turned.astype(np.float64))


def occlusion(image: Image, _: np.random.Generator, half: str) -> Image:
    """Return the face with a half of the picture grey: left, right, upper or lower as it is looked at.

    Where the side is odd, the middle row or column stays.
    """
    rows, columns = image.shape[0] // 2, image.shape[1] // 2
    covered = image.copy()
    halves = {
        "left": covered[:, :columns],
        "right": covered[:, image.shape[1] - columns :],
        "upper": covered[:rows],
        "lower": covered[image.shape[0] - rows :],
    }
    halves[half][:] = GREY
    return covered


def resolution(image: Image, _: np.random.Generator, side_px: int) -> Image:
    """Return the face reduced to `side_px` pixels a side and enlarged again, by the runtime's own resampling."""
    back = fit(fit(image, side_px, side_px), *image.shape[:2])
    return back[..., 0] if image.ndim == 2 else back


def _rounded(values: npt.NDArray[np.float64]) -> Image:
    return np.clip(np.rint(values), 0, LEVELS).astype(np.uint8)


def _blur(sigma_px: float) -> Condition:
    distort = partial(blur, sigma_px=sigma_px)
    return Condition(f"blur-{sigma_px:g}", "blur", f"blur, σ = {sigma_px:g} px", sigma_px, "px", distort)


def _noise(deviation: float) -> Condition:
    text = f"noise, σ = {deviation:g} × {LEVELS}"
    return Condition(f"noise-{deviation:g}", "noise", text, deviation, OF_RANGE, partial(noise, deviation=deviation))


def _brightness(change: float) -> Condition:
    word, size = "brighter" if change > 0 else "darker", f"{abs(change):g}"
    text = f"{word} by {size} × {LEVELS}"
    return Condition(f"{word}-{size}", "brightness", text, change, OF_RANGE, partial(brightness, change=change))


def _contrast(factor: float) -> Condition:
    distort = partial(contrast, factor=factor)
    return Condition(f"contrast-{factor:g}", "contrast", f"contrast × {factor:g}", factor, "factor", distort)


def _jpeg(quality: int) -> Condition:
    distort = partial(jpeg, quality=quality)
    return Condition(f"jpeg-{quality}", "jpeg", f"JPEG, quality {quality}", quality, "quality 1..100", distort)


def _rotation(angle_deg: int) -> Condition:
    text = f"{abs(angle_deg)}° {'clockwise' if angle_deg > 0 else 'anticlockwise'}"
    distort = partial(rotation, clockwise_deg=angle_deg)
    return Condition(f"rotation{angle_deg:+d}", "rotation", text, angle_deg, "degrees clockwise", distort)


def _occlusion(half: str) -> Condition:
    distort = partial(occlusion, half=half)
    return Condition(f"occlusion-{half}", "occlusion", f"{half} half grey", 0.5, "share of the picture", distort)


def _resolution(side_px: int) -> Condition:
    distort = partial(resolution, side_px=side_px)
    return Condition(f"resolution-{side_px}", "resolution", f"{side_px} px and back", side_px, "px", distort)


CLEAN = Condition("none", "none", "faces as they are", None, None, unchanged)
CONDITIONS: tuple[Condition, ...] = (
    CLEAN,
    _blur(0.5), _blur(1.0),
    _noise(0.04), _noise(0.12),
    _brightness(-0.3), _brightness(0.3),
    _contrast(0.2),
    _jpeg(65), _jpeg(50),
    _rotation(-15), _rotation(15),
    _occlusion("left"), _occlusion("right"), _occlusion("upper"), _occlusion("lower"),
    _resolution(SMALL_PX),
)  # fmt: skip
"""The faces as they are first, then every distortion."""
