"""A small network with every kind of state that a fit has: weights, batch-norm statistics and dropout's generators."""

from __future__ import annotations

import keras


def dropping_model(side: int = 32, classes: int = 7) -> keras.Model:
    """A network of a few hundred weights with dropout in two places, one of them a nested model's."""
    inner = keras.Input((side // 2, side // 2, 8))
    body = keras.Model(inner, keras.layers.SpatialDropout2D(0.2)(keras.layers.ReLU(6.0)(inner)), name="body")
    pictures = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(1 / 128, offset=-1.0)(pictures)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(x)
    x = keras.layers.BatchNormalization(name="stem_bn", momentum=0.9)(x)
    x = keras.layers.GlobalAveragePooling2D()(body(x))
    x = keras.layers.Dropout(0.3)(x)
    return keras.Model(pictures, keras.layers.Dense(classes, name="logits")(x), name="dropping")
