"""Loads TensorFlow once, quietly, before the first test of this folder."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def frameworks() -> None:
    """TensorFlow, Keras and tf_keras in one process."""
    from convert.__main__ import settle_frameworks

    settle_frameworks()
