"""Stochastic depth: in training, whole residual branches are left out at random, picture by picture.

A Keras Dropout whose mask is one number a picture, so that the saved file needs no class of ours and the converter
drops it like any Dropout.

Source: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, sections 3 and 4.
"""

from __future__ import annotations

import keras
from keras import layers


def drop_branch(x: keras.KerasTensor, rate: float, name: str) -> keras.KerasTensor:
    """Return a branch ``(n, h, w, c)`` that in training is 0 with probability ``rate``, else divided by 1 − rate."""
    return layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=name)(x) if rate > 0 else x
