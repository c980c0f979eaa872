"""A network in 16 bits, for speed, or brought back to 32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.errors import DataError

if TYPE_CHECKING:
    import keras

PRECISIONS = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}
SIXTEEN_BITS = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def at_precision(model: keras.Model, precision: str) -> keras.Model:
    """Return the model itself for ``float32``, otherwise a copy that computes in 16 bits, with the same weights.

    Weights stay float32, and so do the layers whose output is the model's own (the logits): a softmax over 16-bit
    logits loses what label smoothing and distillation are about.

    Args:
        model: computes in float32.
        precision: one of ``PRECISIONS``.

    Raises:
        DataError: the precision is unknown.
    """
    from train.networks.layers import head_layers, leaves

    if precision not in PRECISIONS:
        raise DataError(f"expected a precision of {', '.join(PRECISIONS)}; got {precision!r}; choose one of them")
    if precision == "float32":
        return model
    copy: keras.Model = type(model).from_config(model.get_config())
    exact = head_layers(copy)
    for layer in leaves(copy):
        if layer not in exact:
            layer.dtype_policy = PRECISIONS[precision]
    copy.set_weights(model.get_weights())
    return copy


def in_float32(model: keras.Model) -> keras.Model:
    """Return the model itself where it computes in float32, otherwise a copy that does, with the same weights.

    For networks that were built under a global policy of 16 bits, which travels in their file layer by layer.
    """
    from train.networks.layers import leaves

    if all(layer.dtype_policy.name not in SIXTEEN_BITS for layer in leaves(model)):
        return model
    copy: keras.Model = type(model).from_config(_widened(model.get_config()))
    copy.set_weights(model.get_weights())
    return copy


def _widened(config: Any) -> Any:
    """Return a model's configuration with every policy and type of 16 bits replaced by float32."""
    if isinstance(config, dict) and config.get("class_name") == "DTypePolicy":
        return "float32" if config["config"]["name"] in SIXTEEN_BITS else config
    if isinstance(config, dict):
        return {
            key: "float32" if key == "dtype" and str(value) in SIXTEEN_BITS else _widened(value)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_widened(value) for value in config)
    return config
