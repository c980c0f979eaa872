from __future__ import annotations

import functools
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from convert.reporting.page import HEADINGS, page, table
from convert.reporting.report import brief, placed
from convert.reporting.tables import as_table, rows_of

CLASSES = ("angry", "happy")
VOID = {"meta", "br", "img", "link", "input", "hr"}


def part_of(accuracy: float, before: float = 0.7) -> dict[str, Any]:
    """What ``convert.verification.checks.compare`` gives, with round numbers."""
    drop = 100 * (before - accuracy)
    figures = {"samples": 1200, "ci95": [accuracy - 0.02, accuracy + 0.02], "macro_f1": accuracy - 0.1}
    return {
        "float": figures | {"accuracy": before},
        "file": figures | {"accuracy": accuracy},
        "drop_points": drop,
        "drop_ci95": [drop - 0.5, drop + 0.5],
        "per_class_f1_change_points": {"angry": -drop, "happy": drop / 2},
        "agreement_with_float": 0.95,
        "agreement_with_network": 0.9975,
    }


def report_of(recipe: str, accuracy: float, outside: dict[str, int]) -> dict[str, Any]:
    """A report of today's convert, with none of the keys that only some recipes have."""
    return {
        "recipe": recipe,
        "file": f"net-{recipe}.tflite",
        "sha256": "0" * 64,
        "size_bytes": 3_613_800,
        "command": ["python -m convert", "runs/net"],
        "source": {"name": "net", "backbone": "efficientnet-lite0", "input": [56, 56, 3]},
        "data": {"name": "fer2013", "protocol": "official"},
        "lowering": {"rules": {"drop-identity": "Dropout computes nothing"}, "parity": {"relative": 1e-6}},
        "calibration": {"temperature": 1.25},
        "versions": {"tensorflow": "2.21.0"},
        "inspection": {"partitions": 1, "outside": outside},
        "parts": {"PublicTest": part_of(accuracy), "PrivateTest": part_of(accuracy + 0.01)},
        "warnings": [],
        "seconds": {"export": 12.0},
    }


def bare() -> list[dict[str, Any]]:
    return [report_of("float32", 0.7, {"CAST": 1}), report_of("qat-int8", 0.68, {"QUANTIZE": 2, "SOFTMAX": 1})]


def layer(name: str, own: float | None) -> dict[str, Any]:
    return {
        "layer": name, "path": f"net/{name}", "kind": "conv2d", "tensor": f"lowered/quant_{name}/Relu6",
        "shape": [7, 7, 40], "scale": 0.125, "sqnr_db": own, "own_sqnr_db": own, "own_channel_db": own,
        "bias_steps": -0.25, "saturated_share": 0.0125,
    }  # fmt: skip


def operator(name: str, output: str, place: str, reason: str | None, margin: float) -> dict[str, Any]:
    ratio = {"of": "input 0 / output", "value": 300.0, "low": 2**-10, "high": 256.0, "margin": margin}
    return {"name": name, "output": output, "place": place, "reason": reason, "ratios": [ratio]}


def full() -> list[dict[str, Any]]:
    """The same with every key that the page knows."""
    reports = bare()
    latency = {
        "machine": {"model": "Test machine"}, "runtime": {"name": "ai-edge-litert", "version": "2.3.0"},
        "threads": 1, "rounds": 4, "baseline": "float32",
        "recipes": {
            "float32": {
                "latency_ms": {"p50": 8.0, "p90": 9.0, "p99": 9.5, "mean": 8.1, "min": 7.0, "max": 10.0},
                "samples_ms": [7.0, 8.0, 8.0, 10.0],
            },
            "qat-int8": {
                "latency_ms": {"p50": 1.25, "p90": 1.5, "p99": 1.6, "mean": 1.3, "min": 1.0, "max": 2.0},
                "samples_ms": [1.0, 1.25, 1.25, 2.0],
                "ratio": {"median": 6.4, "p10": 6.0, "p90": 7.0, "ci95": [6.25, 6.55]},
            },
        },
    }  # fmt: skip
    for report in reports:
        report["latency"] = latency
    reports[1] |= {
        "layers": as_table([layer("stem", 40.0), layer("bad", 3.25), layer("flat", None), layer("logits", 38.0)]),
        "delegation": placed(
            {
                "partitions": 2,
                "counts": {"xnnpack-int8": {"CONV_2D": 5}, "xnnpack-float": {}, "outside": {"ADD": 6}},
                "operators": [
                    operator("CONV_2D", "lowered/quant_stem/Relu6;lowered/x", "xnnpack-int8", None, 3.0),
                    *(operator("ADD", f"lowered/quant_sum{i}/add", "outside", "too far", -1.0 - i) for i in range(6)),
                ],
            }
        ),
        "sensitivity": as_table(
            [
                {"layer": "stem", "path": "net/stem", "what": "kernel", "divergence": 0.001},
                {"layer": "stem", "path": "net/stem", "what": "output", "divergence": 0.004},
                {"layer": "bad", "path": "net/bad", "what": "output", "divergence": 0.02},
            ]
        ),
        "kept_in_float": ["bad"],
        "qat": {
            "best_step": 20,
            "history": [
                {"step": 0, "loss": 0.0, "accuracy": 0.65, "divergence": 0.006},
                {"step": 20, "loss": 0.004, "accuracy": 0.66, "divergence": 0.002},
            ],
        },
        "warnings": ["2 XNNPACK partitions instead of 1"],
    }
    return reports


@functools.cache
def bare_page() -> str:
    return page(bare())


@functools.cache
def full_page() -> str:
    return page(full())


class Checker(HTMLParser):
    """Tags that do not close, addresses, and the texts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def checked(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    return checker


def headings_of(text: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_the_table_says_what_the_reports_say() -> None:
    rows = table(full())
    assert {len(row) for row in rows} == {len(HEADINGS)}
    assert dict(zip(HEADINGS, rows[1], strict=True)) == {
        "recipe": "qat-int8",
        "size": "3.61 MB",
        "accuracy": "68.00%",
        "drop in points (95 %)": "+2.00 (+1.50 to +2.50)",
        "macro-F1": "0.5800",
        "agrees with network": "99.75%",
        "with float": "95.00%",
        "p50": "1.25 ms",
        "times as fast": "6.40 (6.25 to 6.55)",
        "partitions": "1",
        "outside XNNPACK": "2 QUANTIZE, 1 SOFTMAX",
    }
    assert rows[0][HEADINGS.index("times as fast")] == "1"


def test_the_table_of_another_part_has_its_figures() -> None:
    assert table(bare(), "PrivateTest")[1][HEADINGS.index("accuracy")] == "69.00%"
    with pytest.raises(ValueError, match="expected one of the parts PublicTest, PrivateTest; came 'train'"):
        table(bare(), "train")


def test_what_a_report_lacks_is_a_dash() -> None:
    row = dict(zip(HEADINGS, table(bare())[1], strict=True))
    assert (row["p50"], row["times as fast"]) == ("–", "–")
    assert "–" not in (row["accuracy"], row["partitions"])


def test_no_report_and_two_of_one_recipe_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one report a recipe, one or more; came none"):
        page([])
    with pytest.raises(ValueError, match="came float32, float32"):
        page([bare()[0], bare()[0]])


def test_sections_appear_with_their_keys_only() -> None:
    assert headings_of(bare_page()) == ["All recipes", "F1 by class"]
    assert headings_of(full_page()) == [
        "All recipes", "Warnings and decisions", "Speed on this machine", "F1 by class", "Error by layer",
        "Sensitivity and fine-tuning", "Where the operators run",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "figures"), [("latency", 2), ("layers", 2), ("sensitivity", 1), ("qat", 1), ("delegation", 0)]
)
def test_each_key_alone_brings_its_own_plots(key: str, figures: int) -> None:
    reports, source = bare(), full()
    for report, other in zip(reports, source, strict=True):
        report |= {key: other[key]} if key in other else {}
    before, after = checked(bare_page()).tags.count("svg"), checked(page(reports)).tags.count("svg")
    assert before == 2
    assert after == before + figures


def test_the_page_is_whole_and_alone() -> None:
    found = checked(full_page())
    assert {"html", "head", "body", "title", "table", "svg", "figure"} <= set(found.tags)
    assert not {"script", "img", "link", "iframe", "object"} & set(found.tags)
    assert all(address.startswith("#") for address in found.addresses)
    assert found.addresses  # the markers of the plots refer to each other
    outside = re.sub(r' xmlns(:\w+)?="[^"]*"', "", full_page())
    assert "http" not in outside
    assert "url(" in outside
    assert not re.findall(r"url\((?!#)", outside)


def test_commands_and_rules_that_differ_are_told_each_with_its_recipes() -> None:
    assert "<p>Command: <code>python -m convert runs/net</code></p>" in bare_page()
    assert bare_page().count("drop-identity") == 1 and "Lowering of" not in bare_page()
    reports = [*bare(), report_of("ptq-int8", 0.6, {})]
    reports[1] |= {"command": ["python -m convert", "runs/net", "--without", "x"], "lowering": {"rules": {"y": "why"}}}
    text = page(reports)
    assert "<p>Command of float32, ptq-int8: <code>python -m convert runs/net</code></p>" in text
    assert "<p>Command of qat-int8: <code>python -m convert runs/net --without x</code></p>" in text
    assert "<p>Lowering of float32, ptq-int8:</p>\n<ul>\n<li>drop-identity: Dropout computes nothing</li>" in text
    assert "<p>Lowering of qat-int8:</p>\n<ul>\n<li>y: why</li>\n</ul>" in text


def test_plots_take_their_ink_from_the_page_for_light_and_dark() -> None:
    text = full_page()
    assert "prefers-color-scheme: dark" in text
    assert text.count("currentColor") > 20
    assert "#010203" not in text
    assert "fill: #ffffff" not in text


def test_what_is_referred_to_in_a_plot_is_there_and_no_name_is_there_twice_with_another_meaning() -> None:
    text = full_page()
    names = re.findall(r' id="([^"]+)"', text)
    assert {reference[1:] for reference in checked(text).addresses} <= set(names)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(names)
    assert not [name for name in names if re.search(r"_\d+$", name)]


def test_everything_from_a_report_is_escaped() -> None:
    reports = full()
    evil = "<script>alert('&')</script>$x^2$"
    reports[1]["warnings"] = [evil]
    told = rows_of(reports[1]["layers"])
    reports[1]["layers"] = as_table([told[0], layer(evil, 3.0), *told[2:]])
    roundings = rows_of(reports[1]["sensitivity"])
    reports[1]["sensitivity"] = as_table([roundings[0] | {"layer": evil[:20]}, *roundings[1:]])
    reports[1]["source"]["name"] = reports[0]["source"]["name"] = evil
    operators = rows_of(reports[1]["delegation"]["operators"])
    reports[1]["delegation"]["operators"] = as_table([operators[0], operators[1] | {"reason": evil}, *operators[2:]])
    for report in reports:
        for part in report["parts"].values():
            part["per_class_f1_change_points"][evil] = 0.5
    found = checked(page(reports))
    assert "script" not in found.tags
    assert sum(evil in text for text in found.texts) >= 5
    assert evil in "".join(found.texts)


def test_the_layers_that_lose_most_come_first_and_those_without_a_figure_not_at_all() -> None:
    text = full_page()
    rows = re.findall(r"<tr><td>(\w+)</td><td>conv2d</td>", text)
    assert rows == ["bad", "logits", "stem"]
    assert "<td>3.2</td>" in text
    assert "<td>1.25%</td>" in text


def test_ratios_in_the_operators_of_an_earlier_report_are_shown_too() -> None:
    reports = full()
    now = reports[1]["delegation"]
    operators = [row | {"ratios": []} for row in rows_of(now["operators"])]
    for ratio in rows_of(now["ratios"]):
        operators[ratio.pop("operator")]["ratios"].append(ratio)
    reports[1]["delegation"] = {key: now[key] for key in ("partitions", "counts")} | {"operators": operators}
    assert page(reports) == full_page()


def test_operators_outside_are_grouped_by_reason_and_windows_sorted_by_margin() -> None:
    text = full_page()
    assert "<td>6 ADD</td><td>too far</td>" in text
    assert "quant_sum3/add and 2 more" in text
    margins = [float(value) for value in re.findall(r"<td>([+-]\d+\.\d)</td><td>0.000977 to 256</td>", text)]
    assert margins == [-6.0, -5.0, -4.0, -3.0, -2.0, -1.0]


def test_the_costliest_rounding_comes_first_and_is_told_from_the_layers_other_one() -> None:
    places = [full_page().index(f">{name}</text>") for name in ("bad output", "stem output", "stem kernel")]
    assert places == sorted(places)


def test_a_layer_kept_in_float_is_hatched() -> None:
    assert "<pattern" in full_page()
    reports = bare()
    reports[1]["sensitivity"] = full()[1]["sensitivity"]
    assert "<pattern" not in page(reports)


def test_the_plots_follow_the_figures() -> None:
    """The same plots from the same figures; another change of one part's F1 moves that part's plot alone."""
    other = bare()
    other[1]["parts"]["PublicTest"]["per_class_f1_change_points"]["angry"] = 9.0
    first, second = (re.findall(r"<svg.*?</svg>", text, re.DOTALL) for text in (bare_page(), page(other)))
    assert [a == b for a, b in zip(first, second, strict=True)].count(False) == 1


def test_a_file_that_changes_no_class_is_not_drawn_among_the_classes() -> None:
    svg = re.findall(r"<svg.*?</svg>", bare_page(), re.DOTALL)[0]
    assert "qat-int8" in svg
    assert "float32" not in svg


def test_rows_of_a_report_keep_six_digits_and_no_empty_fields() -> None:
    delegation = {
        "operators": (
            {"position": 0, "output": "lowered/a/B;lowered/a/C", "partition": 0, "ratios": ({"value": 1 / 3},)},
            {"position": 1, "output": "b", "partition": None, "ratios": (), "reason": "why"},
        ),
        "counts": {"outside": {}},
    }
    assert brief(delegation) == {
        "operators": [
            {"output": "a/B", "partition": 0, "ratios": [{"value": 0.333333}]},
            {"output": "b", "reason": "why"},
        ],
        "counts": {"outside": {}},
    }
    assert placed(delegation) == {
        "operators": {"columns": ["output", "partition", "reason"], "data": [["a/B", 0, None], ["b", None, "why"]]},
        "counts": {"outside": {}},
        "ratios": {"columns": ["operator", "value"], "data": [[0, 0.333333]]},
    }
    row = {"layer": "stem", "tensor": "a/BiasAdd;a/Conv2D", "shape": (16, 16), "scale": 1 / 7, "sqnr_db": None}
    assert brief([row]) == [{"layer": "stem", "shape": [16, 16], "scale": 0.142857}]
