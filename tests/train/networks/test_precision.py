"""Networks in 16 bits; how they are trained is in tests/train/fitting."""

from __future__ import annotations

import pytest

from edge.errors import DataError
from tests.train.conftest import tiny_model
from train.networks.precision import at_precision


def test_float32_is_the_model_itself_and_another_precision_is_refused() -> None:
    model = tiny_model()
    assert at_precision(model, "float32") is model
    with pytest.raises(DataError, match="expected a precision of float32, float16, bfloat16; got 'int8'"):
        at_precision(model, "int8")
