"""What the conversions cost and won: one page from conversion reports, peers records and instruction counts.

`python -m benchmarks costs benchmarks/results/conversion --page docs/conversion.md` writes it between the page's
markers. Kinds of records are told apart by their content. The targets are the project's own, set before anything was
measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.arm import beside
from benchmarks.arm.record import Counted, Instructions, read_instructions
from benchmarks.arm.record import markdown as instructions_markdown
from benchmarks.evidence import Ratio, read_evidence, record_files
from benchmarks.markdown import markdown_table
from benchmarks.peers.record import measured as measured_files
from benchmarks.peers.record import read_peers
from benchmarks.peers.table import markdown as peers_markdown
from benchmarks.table import MISSING, mark, signed, size_text
from benchmarks.targets import Target, kind_of, targets_table
from edge.errors import DataError
from edge.files import read_json

BEGIN, END = "<!-- costs:begin -->", "<!-- costs:end -->"
FLOAT, QAT = "float32", "qat-int8"
LITE0, B0, TINY = "efficientnet-lite0", "efficientnet-b0", "convnext-tiny"
_REMEDY = "convert again with `python -m convert`"
_CONVERSION_HEADINGS = (
    "Model", "Backbone, input", "Recipe", "Size (of float32)", "Accuracy, float", "Accuracy", "Drop, points (95 %)",
    "Agreement with its network", "Partitions", "Layers kept in float", "Peak memory", "Time",
)  # fmt: skip
_PAIR_HEADINGS = ("Model", "Against", "Speed-up (95 %)", "Pairs", "Threads", "Runtime", "Machine")


@dataclass(frozen=True)
class Costs:
    """What was read.

    Attributes:
        conversions: reports of `python -m convert`, by backbone, then recipe.
        peers: peers records, by backbone.
        instructions: instruction records.
        pairs: interleaved pairs of two files, from latency records.
    """

    conversions: dict[str, dict[str, dict[str, Any]]]
    peers: dict[str, dict[str, Any]]
    instructions: tuple[Instructions, ...]
    pairs: tuple[Ratio, ...] = ()


def read_costs(paths: Iterable[Path]) -> Costs:
    """Return what the records in files and folders say.

    Raises:
        DataError: a file is of no such kind, is damaged, says the same as another, or measured one of our files that no
            conversion report is about.
    """
    measured: list[tuple[Path, str, str]] = []  # record, and name and sha256 of a file of ours
    conversions: dict[str, dict[str, dict[str, Any]]] = {}
    peers: dict[str, dict[str, Any]] = {}
    instructions: list[Instructions] = []
    pairs: list[Ratio] = []
    for path in record_files(paths):
        kind = kind_of(path)
        if kind == "conversion":
            report = _conversion(path)
            recipes = conversions.setdefault(report["source"]["backbone"], {})
            if any(other["source"] != report["source"] for other in recipes.values()):
                raise DataError(
                    f"{path}: expected one network of {report['source']['backbone']}; got a second; keep one of them"
                )
            _put(recipes, report["recipe"], report, path)
        elif kind == "peers":
            record = read_peers(path)
            measured += [(path, file["name"], file["sha256"]) for file in _ours(record)]
            _put(peers, record["source"]["backbone"], record, path)
        elif kind == "instructions":
            found = read_instructions(path)
            instructions.append(found)
            if not found.others:  # else it is about interpreters, and says which file they ran
                measured += [(path, f"{each.name} {each.recipe}", each.sha256)
                             for each in found.counted if each.recipe is not None]  # fmt: skip
        elif kind == "latency":
            evidence = read_evidence([path])
            pairs += evidence.ratios
            models = [each.model for each in evidence.latencies]
            measured += [(path, f"{model.name} {model.recipe}", model.sha256) for model in models]
        else:
            raise DataError(
                f"{path}: expected a conversion report, peers, instructions or latency record; got kind {kind!r}"
            )
    built = {report["sha256"] for recipes in conversions.values() for report in recipes.values()}
    for path, name, sha256 in measured:
        if sha256 not in built:
            raise DataError(
                f"{path}: expected files that the conversion reports are about; got another {name} ({sha256[:12]}); "
                "measure the file of the report, or add the report of this one"
            )
    return Costs(conversions, peers, tuple(instructions), tuple(pairs))


def markdown(costs: Costs) -> str:
    """Return the page's block: targets, conversions, peers, instructions, runtimes beside one another."""
    alone = [each for each in costs.instructions if not each.others]
    several = [each for each in costs.instructions if each.others]
    parts = [
        "## Targets\n",
        targets_table(TARGETS, costs),
        "\nAsked: this project's own targets, of the networks in the tables below.",
        "\n## int8 against its own float32, in interleaved pairs\n",
        markdown_table(_PAIR_HEADINGS, sorted(_pair_cells(entry) for entry in costs.pairs)),
        "\n## Conversions\n",
        markdown_table(_CONVERSION_HEADINGS, _conversion_rows(costs)),
        f"\nDrop: {_part(costs)} accuracy of the float network less the file's, with its paired 95 % "
        "interval. Peak memory is the command's up to this recipe; time is that of its stages, with the "
        "preparation that all share.\n",
        "\n## Beside what others make of the same network\n",
        peers_markdown([costs.peers[name] for name in sorted(costs.peers)]),
        "\n## Instructions of an inference on a Raspberry Pi's core\n",
        instructions_markdown(alone) if alone else f"{MISSING}\n",
    ]
    if several:
        parts += ["\n## The same files with another interpreter\n", beside.markdown(several)]
    return "\n".join(parts)


def ratio(costs: Costs, backbone: str, model: str, against: str) -> float | None:
    """Return how many times faster one file of a peers record is than another (median); None: not measured."""
    for entry in costs.peers.get(backbone, {}).get("ratios", []):
        if (entry["model"], entry["against"]) == (model, against):
            return float(entry["median"])
    return None


def pair(costs: Costs, backbone: str) -> float | None:
    """Return how many times faster qat-int8 is than its own float32, from interleaved pairs of these two alone.

    Noisy pairs do not count. In turns with many files, float32 finds its weights in no cache, and comes out slower than
    it would run.
    """
    found = costs.conversions.get(backbone, {})
    wanted = [found[recipe]["sha256"] for recipe in (QAT, FLOAT)] if {QAT, FLOAT} <= set(found) else None
    calm = [entry for entry in costs.pairs if not mark(entry.stability)]
    return next((entry.median for entry in calm if [entry.model.sha256, entry.against.sha256] == wanted), None)


def instructions(costs: Costs, backbone: str, recipe: str, board: str) -> float | None:
    """Return the million instructions of one of our files, found by its sha256."""
    entry = _counted(costs, backbone, recipe, board)
    return entry.instructions_million if entry else None


def _counted(costs: Costs, backbone: str, recipe: str, board: str) -> Counted | None:
    report = costs.conversions.get(backbone, {}).get(recipe)
    found = [entry for each in costs.instructions for entry in each.counted if entry.board == board]
    return next((entry for entry in found if report and entry.sha256 == report["sha256"]), None)


def _fewer(costs: Costs, backbone: str, board: str) -> float | None:
    before, after = (instructions(costs, backbone, recipe, board) for recipe in (FLOAT, QAT))
    return before / after if before and after else None


def _drop(costs: Costs, backbone: str) -> float | None:
    report = costs.conversions.get(backbone, {}).get(QAT)
    return None if report is None else float(report["parts"][report["calibration"]["part"]]["drop_points"])


def _partitions(costs: Costs, backbone: str) -> float | None:
    report = costs.conversions.get(backbone, {}).get(QAT)
    return None if report is None else float(report["inspection"]["partitions"])


def _agrees(costs: Costs, backbone: str) -> float | None:
    report = costs.conversions.get(backbone, {}).get(QAT)
    return None if report is None else 100 * report["parts"][report["calibration"]["part"]]["agreement_with_network"]


def _size(costs: Costs, backbone: str) -> float | None:
    recipes = costs.conversions.get(backbone, {})
    return recipes[QAT]["size_bytes"] / recipes[FLOAT]["size_bytes"] if {QAT, FLOAT} <= set(recipes) else None


def _own(backbone: str) -> list[Target[Costs]]:
    return [
        Target(f"{backbone} {QAT} against its own float32", 2.2, True, "×",
               lambda costs: pair(costs, backbone)),
        Target(f"{backbone} {QAT}, times fewer instructions than float32 on a Pi 5's core", 3, True, "×",
               lambda costs: _fewer(costs, backbone, "pi5")),
    ]  # fmt: skip


def _sound(backbone: str) -> list[Target[Costs]]:
    return [
        Target(f"{backbone} {QAT}, accuracy drop", 0.5, False, " points", lambda costs: _drop(costs, backbone)),
        Target(f"{backbone} {QAT}, XNNPACK partitions", 1, False, "", lambda costs: _partitions(costs, backbone)),
        Target(f"{backbone} {QAT}, agreement with its network", 99, True, " %", lambda costs: _agrees(costs, backbone)),
    ]


def _million(backbone: str, board: str, asked: float) -> Target[Costs]:
    text = f"{backbone} {QAT}, million instructions on a {board.replace('pi', 'Pi ')}'s core"
    return Target(text, asked, False, "", lambda costs: instructions(costs, backbone, QAT, board))


def _small(backbone: str, asked: float) -> Target[Costs]:
    return Target(f"{backbone} {QAT}, size of float32's", asked, False, "", lambda costs: _size(costs, backbone))


TARGETS: tuple[Target[Costs], ...] = (
    *_own(LITE0), *_sound(LITE0), *_own(B0), *_sound(B0),
    Target(f"{TINY} {QAT} against tf.lite's plain float32", 4.5, True, "×",
           lambda costs: ratio(costs, TINY, f"ours-{QAT}", "plain-float32")),
    Target(f"{TINY} {QAT} against tf.lite's plain full int8", 10, True, "×",
           lambda costs: ratio(costs, TINY, f"ours-{QAT}", "plain-int8")),
    Target(f"{TINY} lowered float32 against tf.lite's plain float32", 1.4, True, "×",
           lambda costs: ratio(costs, TINY, f"ours-{FLOAT}", "plain-float32")),
    *_sound(TINY),
    _million(TINY, "pi4", 105), _million(TINY, "pi5", 43), _million(B0, "pi4", 12), _million(B0, "pi5", 6),
    _small(TINY, 0.27), _small(LITE0, 0.29), _small(B0, 0.32),
)  # fmt: skip


def _conversion_rows(costs: Costs) -> list[tuple[str, ...]]:
    rows = []
    for recipes in costs.conversions.values():
        whole = recipes.get(FLOAT, {}).get("size_bytes")
        for recipe in sorted(recipes, key=lambda name: (name != FLOAT, name)):
            rows.append(_conversion_row(recipes[recipe], whole))
    return sorted(rows, key=lambda row: row[:2])


def _conversion_row(report: dict[str, Any], whole: int | None) -> tuple[str, ...]:
    found = report["parts"][report["calibration"]["part"]]
    low, high = found["drop_ci95"]
    share = f" ({report['size_bytes'] / whole:.2f})" if whole else ""
    height, width, _ = report["source"]["input"]
    return (
        report["source"]["name"],
        f"{report['source']['backbone']}, {height}×{width}",
        report["recipe"],
        size_text(report["size_bytes"]) + share,
        f"{100 * found['float']['accuracy']:.2f} %",
        f"{100 * found['file']['accuracy']:.2f} %",
        f"{signed(found['drop_points'])} ({signed(low)} to {signed(high)})",
        _agreement(found),
        str(report["inspection"]["partitions"]),
        str(len(report["kept_in_float"])) if "kept_in_float" in report else MISSING,
        f"{report['peak_memory_mb'] / 1024:.1f} GiB",
        _minutes(report),
    )


def _agreement(found: dict[str, Any]) -> str:
    """With the file's network in integers; older records, and those of float files, have it in float32 alone."""
    in_float32 = found.get("agreement_with_network_in_float32")
    note = "" if in_float32 is None else f" ({100 * in_float32:.2f} % in float32)"
    return f"{100 * found['agreement_with_network']:.2f} %{note}"


def _minutes(report: dict[str, Any]) -> str:
    """Time of the stages; of a fine-tuning that a killed or refused run had begun, what was left of it."""
    resumed = report.get("qat", {}).get("resumed_step", 0)
    return f"{sum(report['seconds'].values()) / 60:.1f} min" + (f", from step {resumed} on" if resumed else "")


def _pair_cells(entry: Ratio) -> tuple[str, ...]:
    return (
        f"{entry.model.name} {entry.model.recipe}",
        f"{entry.against.name} {entry.against.recipe}",
        f"{entry.median:.2f}× ({entry.low:.2f} to {entry.high:.2f}){mark(entry.stability)}",
        str(entry.pairs),
        str(entry.threads),
        entry.setting.runtime,
        entry.setting.machine,
    )


def _part(costs: Costs) -> str:
    parts = {
        f"{report['data']['name']} {report['calibration']['part']} ({report['data']['protocol']})"
        for recipes in costs.conversions.values()
        for report in recipes.values()
    }
    return ", ".join(sorted(parts))


def _conversion(path: Path) -> dict[str, Any]:
    """Return a conversion report whose fields the page needs are there."""
    report: dict[str, Any] = read_json(path, "convert again")
    try:
        found = report["parts"][report["calibration"]["part"]]
        numbers = [report["size_bytes"], report["peak_memory_mb"], found["drop_points"], *found["drop_ci95"]]
        numbers += [found["float"]["accuracy"], found["file"]["accuracy"], found["agreement_with_network"]]
        numbers += [report["inspection"]["partitions"], *report["seconds"].values(), *report["source"]["input"]]
        texts = [report["recipe"], report["sha256"], report["source"]["name"], report["source"]["backbone"]]
        texts += [report["data"]["name"], report["data"]["protocol"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: expected a whole conversion report; got none of {error}; {_REMEDY}") from error
    if not all(isinstance(x, int | float) for x in numbers) or not all(isinstance(x, str) for x in texts):
        raise DataError(f"{path}: expected numbers and names in the conversion report; got others; {_REMEDY}")
    return report


def _ours(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [file for file in measured_files(record) if file["ours"]]


def _put(known: dict[str, dict[str, Any]], key: str, value: dict[str, Any], path: Path) -> None:
    if key in known:
        raise DataError(f"{path}: expected one record of {key}; got a second; keep the one that counts")
    known[key] = value
