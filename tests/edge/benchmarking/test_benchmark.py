from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.benchmarking import benchmark
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import read_model


def classifier(path: Path, threads: int = 1) -> Classifier:
    return Classifier(read_model(path), threads)


def test_percentiles_are_taken_of_sorted_samples() -> None:
    values = benchmark.percentiles([5.0, 1.0, 2.0, 4.0, 3.0])
    assert values == {"p50": 3.0, "p90": 4.6, "p99": pytest.approx(4.96), "mean": 3.0, "min": 1.0, "max": 5.0}


def test_the_summary_adds_the_median_of_the_deviations() -> None:
    # Sorted 1 2 3 4 9: the median is 3, the deviations from it 2 1 0 1 6, their median 1.
    assert benchmark.summary_ms([9.0, 1.0, 4.0, 2.0, 3.0])["mad"] == 1.0


def test_classes_are_written_as_base_36() -> None:
    assert benchmark.encode_classes(np.array([0, 9, 10, 35])) == "09az"


def test_noise_faces_repeat_with_their_seed_and_are_of_the_inputs_shape() -> None:
    shape = (1, 24, 20, 1)
    faces = benchmark.noise_faces(shape, 1)
    assert np.array_equal(faces, benchmark.noise_faces(shape, 1))
    assert not np.array_equal(faces, benchmark.noise_faces(shape, 2))
    assert faces.shape == (8, *shape) and faces.dtype == np.uint8 and faces.std() > 70
