"""Small Keras 3 networks and pictures that the tests share."""

from __future__ import annotations

from typing import Any

import numpy as np

SIDE = 16


def pictures(count: int, side: int = SIDE, seed: int = 0) -> np.ndarray:
    """Smooth random pictures, uint8 [count, side, side, 3], with pixels 0 and 255 among them."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (count, side // 4, side // 4, 3))
    images = np.kron(coarse, np.ones((1, 4, 4, 1))) + generator.integers(-20, 21, (count, side, side, 3))
    images = np.clip(images, 0, 255).astype(np.uint8)
    images[0, 0, 0], images[0, 0, 1] = 0, 255
    return images


def small_network(classes: int = 7, side: int = SIDE) -> Any:
    """Every kind of layer that the two backbones have: squeeze-excite, swish, ReLU6, residual sum, explicit padding."""
    import keras
    from keras import layers

    picture = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 128, offset=-1)(picture)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="stem_pad")(x)
    x = layers.Conv2D(8, 3, strides=2, padding="valid", use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(momentum=0.8, name="stem_bn")(x)
    x = layers.Activation("swish", name="stem_swish")(x)
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    y = layers.BatchNormalization(momentum=0.8, name="depthwise_bn")(y)
    y = layers.ReLU(6.0, name="depthwise_relu")(y)
    s = layers.GlobalAveragePooling2D(name="squeeze")(y)
    s = layers.Reshape((1, 1, 8), name="squeeze_reshape")(s)
    s = layers.Conv2D(4, 1, activation="swish", name="squeeze_reduce")(s)
    s = layers.Conv2D(8, 1, activation="sigmoid", name="squeeze_expand")(s)
    y = layers.Multiply(name="excite")([y, s])
    y = layers.Conv2D(8, 1, use_bias=False, name="project")(y)
    y = layers.BatchNormalization(momentum=0.8, name="project_bn")(y)
    y = layers.Dropout(0.2, name="drop")(y)
    x = layers.Add(name="residual")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(picture, layers.Dense(classes, name="logits")(x), name="small")


def lowered_network(seed: int = 0, classes: int = 7) -> tuple[Any, Any]:
    """A randomized small network and its lowered graph."""
    from convert.lowering.parity import randomize
    from convert.lowering.reading import read
    from convert.lowering.rules import lower

    model = small_network(classes)
    randomize(model, seed)
    return model, lower(read(model))[0]


def exported(model: Any, kept: tuple[str, ...] = ()) -> tuple[bytes, Any]:
    """A Keras model's int8 file, weights drawn, some layers kept in float, and its network in integers."""
    from convert.lowering.layout import lay_out
    from convert.lowering.parity import normalize, randomize
    from convert.lowering.reading import read
    from convert.lowering.rules import lower
    from convert.quantization.fakequant import calibrate, fake_quantize, for_export
    from convert.tflite.export import export_int8
    from convert.tflite.islands import with_islands
    from convert.verification.integers import IntegerNetwork

    randomize(model)
    graph, _ = lower(read(model), approximate=True)
    fake = fake_quantize(graph)
    calibrate(fake, graph, [normalize(pictures(32), graph)])
    flatbuffer, reference = with_islands(graph, fake, export_int8(graph, for_export(graph, fake)), kept)
    return flatbuffer, IntegerNetwork(flatbuffer, lay_out(graph), reference)
