"""Keras' layers that hand their input on at inference, by class: train looks past them, convert leaves them out."""

from __future__ import annotations

IDENTITIES = (
    "ActivityRegularization",
    "AlphaDropout",
    "AugMix",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",  # RandomCrop is none: it crops or resizes to another size at inference too
    "SpatialDropout2D",
    "StochasticDepth",
)
