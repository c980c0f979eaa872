from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from convert.lowering.graph import Graph, Node
from convert.lowering.parity import Parity
from convert.tflite.inspection import Inspection
from convert.verification.checks import (
    CheckError,
    agreement,
    as_device,
    as_uint8_output,
    compare,
    is_chance,
    require_agreement,
    require_parity,
    require_sound,
)
from convert.verification.own_steps import OwnSteps

GRAPH = Graph({"input": Node("input", "input", (), (8, 8, 3))}, "input", 1 / 128, 128)
SOUND = Inspection({"CONV_2D": 1}, 1, {"QUANTIZE": 2, "SOFTMAX": 1}, {}, (), (), (1 / 128, 128), (1 / 256, 0))


def test_ties_count_as_agreement_and_other_classes_do_not() -> None:
    expected = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.1, 0.2, 0.7], [0.6, 0.4, 0.0]])
    came = np.array([[0.4, 0.4, 0.2], [0.3, 0.5, 0.2], [0.1, 0.5, 0.4], [0.7, 0.3, 0.0]])
    assert agreement(expected, came) == 0.75


def test_probabilities_on_the_grid_of_a_uint8_output() -> None:
    np.testing.assert_array_equal(as_uint8_output(np.array([[1.0, 0.0, 0.5]])), [[255 / 256, 0, 0.5]])


def test_the_drop_is_worked_out_in_pairs() -> None:
    labels = np.array([0, 0, 1, 1])
    reference = np.eye(2)[[0, 0, 1, 0]]  # 3 of 4
    came = np.eye(2)[[0, 1, 1, 1]]  # loses one, wins one
    found = compare(reference, came, labels, ("a", "b"))
    assert found["drop_points"] == 0
    assert found["drop_ci95"][0] < 0 < found["drop_ci95"][1]
    assert found["float"]["accuracy"] == found["file"]["accuracy"] == 0.75
    assert found["agreement_with_float"] == 0.5
    assert found["ties"] == 0
    assert compare(reference, np.full((4, 2), 0.5), labels, ("a", "b"))["ties"] == 1
    # a: float precision 2/3, recall 1: 0.8; file precision 1, recall 1/2: 0.667
    assert found["per_class_f1_change_points"]["a"] == pytest.approx(100 * (2 / 3 - 0.8))


def test_equal_predictions_drop_nothing_as_far_as_their_number_tells() -> None:
    rows = np.eye(2)[[0, 1, 1] * 1_000]
    found = compare(rows, rows, np.array([0, 1, 0] * 1_000), ("a", "b"))
    assert found["drop_points"] == 0
    assert found["drop_ci95"] == pytest.approx([-0.128, 0.128], abs=1e-3)


def test_a_sound_int8_file_passes_without_a_warning() -> None:
    assert require_sound("qat-int8", GRAPH, SOUND) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"float_layers": ("LOGISTIC",)}, "expected no float operator in qat-int8; came LOGISTIC"),
        ({"tensor_kernels": ("block0",)}, "expected kernels quantized by channel; came one scale for block0"),
        ({"input": (2 / 255, 128)}, "expected the input at scale and zero point"),
        ({"input": (1 / 128, 127)}, "expected the input at scale and zero point"),
    ],
)
def test_an_unsound_int8_file_is_refused(changes: dict[str, object], text: str) -> None:
    broken = dataclasses.replace(SOUND, **changes)  # type: ignore[arg-type]
    with pytest.raises(CheckError, match=text):
        require_sound("qat-int8", GRAPH, broken)
    assert require_sound("float32", GRAPH, broken) == []


def test_partitions_and_operators_outside_are_warned_of() -> None:
    slow = dataclasses.replace(SOUND, partitions=3, outside={"QUANTIZE": 2, "GELU": 4})
    assert require_sound("ptq-int8", GRAPH, slow) == ["3 XNNPACK partitions instead of 1", "outside XNNPACK: 4 GELU"]


def test_agreement_below_99_percent_is_refused() -> None:
    assert require_agreement("qat-int8", "PublicTest", 0.99, 3589) == []
    with pytest.raises(CheckError, match=r"for 99% of PublicTest; came 98\.90%"):
        require_agreement("qat-int8", "PublicTest", 0.989, 3589)


def test_low_agreement_is_a_warning_where_nothing_was_fine_tuned_or_decided() -> None:
    warning = "gives its network's class for 98.90% of PublicTest, less than 99%"
    assert require_agreement("ptq-int8", "PublicTest", 0.989, 3589) == [warning]
    assert require_agreement("qat-int8", "PublicTest", 0.989, 3589, decides=False) == [warning]
    assert require_agreement("qat-int8", "PublicTest", 0.99, 3589) == []


def test_a_refusal_names_the_layer_that_differs() -> None:
    found = OwnSteps(0.9985, 1000, 9, 0.97, "block6d_se_expand")
    with pytest.raises(CheckError, match=r"came 98\.50%; of block6d_se_expand's values 97\.00% are the network's"):
        require_agreement("qat-int8", "PublicTest", 0.985, 3589, steps=lambda: found)


def test_the_layers_are_asked_only_where_the_file_is_refused() -> None:
    def never() -> OwnSteps:
        raise AssertionError

    assert require_agreement("qat-int8", "PublicTest", 0.99, 3589, steps=never) == []
    assert require_agreement("qat-int8", "PublicTest", 0.98, 3589, decides=False, steps=never) != []
    with pytest.raises(CheckError, match=r"came 98\.50%; report the model"):
        require_agreement("float32", "PublicTest", 0.985, 3589, steps=lambda: None)


def test_low_agreement_on_few_pictures_is_refused_only_where_chance_does_not_explain_it() -> None:
    # Binomial(280, 1 %): 6 or more disagreements have a probability of 6.4 %, 7 or more of 2.4 %.
    assert require_agreement("qat-int8", "validation", 274 / 280, 280) != []
    with pytest.raises(CheckError, match=r"came 97\.50%"):
        require_agreement("qat-int8", "validation", 273 / 280, 280)
    assert not is_chance(0.9899, 1000)


def test_parity_at_the_tolerance_holds_and_above_does_not() -> None:
    require_parity(Parity(1e-3, 10, 1e-4, 8))
    with pytest.raises(CheckError, match=r"came 1\.10e-04"):
        require_parity(Parity(1.1e-3, 10, 1.1e-4, 8))


def test_only_normalizations_and_kept_layers_may_compute_in_float() -> None:
    norm = Node("norm", "layer_norm", ("input",), (8, 8, 3), {"epsilon": 1e-6})
    graph = Graph({**GRAPH.nodes, "norm": norm}, "norm", 1 / 128, 128)
    found = dataclasses.replace(SOUND, float_layers=("norm",))
    assert require_sound("qat-int8", graph, found) == []
    with pytest.raises(CheckError, match=r"expected no float operator in qat-int8; came norm$"):
        require_sound("qat-int8", GRAPH, found)
    found = dataclasses.replace(SOUND, float_layers=("conv", "norm"))
    assert require_sound("qat-int8", graph, found, kept={"conv"}) == []
    with pytest.raises(CheckError, match=r"expected no float operator in qat-int8; came conv$"):
        require_sound("qat-int8", graph, found)


def test_the_less_divergent_state_scores_higher_even_where_it_is_less_accurate() -> None:
    from convert.conversion import _validation_figures

    labels = np.array([0, 1])
    goal = np.array([[0.6, 0.4], [0.55, 0.45]])  # the float network has the second wrong
    near = _validation_figures(np.log(goal), goal, labels)
    far = _validation_figures(np.log(np.array([[0.9, 0.1], [0.1, 0.9]])), goal, labels)
    assert far["accuracy"] > near["accuracy"]
    assert near["score"] > far["score"]
    assert near["divergence"] == pytest.approx(0, abs=1e-6)


def test_probabilities_are_divided_by_their_sum_as_devices_do() -> None:
    rows = np.array([[0.5, 0.25, 0.125], [0, 1, 0]], np.float32)
    assert as_device(rows) == pytest.approx(np.array([[4 / 7, 2 / 7, 1 / 7], [0, 1, 0]]), abs=1e-6)


def test_a_state_is_scored_by_what_it_was_trained_for() -> None:
    from convert.conversion import _validation_figures

    labels = np.array([0, 1])
    goal = np.array([[0.6, 0.4], [0.55, 0.45]])
    as_float, tuned = np.log(goal), np.log(np.array([[0.8, 0.2], [0.3, 0.7]]))  # towards the labels
    for hard_share, better in ((0.0, False), (0.5, True)):
        scores = [_validation_figures(logits, goal, labels, hard_share)["score"] for logits in (as_float, tuned)]
        assert (scores[1] > scores[0]) == better
