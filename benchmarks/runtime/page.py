"""What running fer-edge costs, and what its choices win: one page from the records of runtime studies.

`python -m benchmarks runtime benchmarks/results/runtime --page docs/runtime.md` writes it between the page's markers.
The targets are the project's own, set before anything was measured; where several records answer one of them, the worst
counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.evidence import record_files
from benchmarks.machines import Stability, machine_text
from benchmarks.markdown import markdown_table
from benchmarks.runtime.alignment_tables import sections
from benchmarks.runtime.footprint import BASE
from benchmarks.runtime.record import FIELDS, one_line, read
from benchmarks.runtime.tools import OURS, YUNET, answers_text
from benchmarks.table import MISSING, mark
from benchmarks.targets import Target, targets_table
from edge.benchmarking.frame_times import STAGES
from edge.errors import DataError

BEGIN, END = "<!-- runtime:begin -->", "<!-- runtime:end -->"
FRAME = (640, 480)
SOAK_FRAMES = 100_000
FUZZED = {"pictures": 10_000, "models": 2_000}
IMAGE, HELP = "fer-edge image", "fer-edge --help"
_MB = 1e6
Runtime = Mapping[str, Sequence[dict[str, Any]]]  # by kind of record


def read_runtime(paths: Iterable[Path]) -> Runtime:
    """Return what the records in files and folders say, by kind.

    Raises:
        DataError: a file is of another kind or damaged, lacks what the page shows, or says the same as another.
    """
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in FIELDS}
    known: set[tuple[Any, ...]] = set()
    for path in record_files(paths):
        record = read(path)
        with one_line(path):
            what = _identity(record)
            markdown({**dict.fromkeys(FIELDS, ()), record["kind"]: [record]})  # so that what it lacks is told by name
        if what in known:
            raise DataError(
                f"{path}: expected one record of {' '.join(map(str, what))}; got a second; keep the one that counts"
            )
        known.add(what)
        found[record["kind"]].append(record)
    return found


def markdown(found: Runtime) -> str:
    """Return the page's block: targets, then a table for each kind of record."""
    parts = ["## Targets\n", targets_table(TARGETS, found), "\nAsked: this project's own targets."]
    for title, headings, rows, note in (
        ("A frame, stage by stage", _PIPELINE, _pipeline_rows(found), _PIPELINE_NOTE),
        ("From start to answer", _STARTUP, _startup_rows(found), _STARTUP_NOTE),
        ("Memory over many frames", _SOAK, _soak_rows(found), _SOAK_NOTE),
        ("What a base install takes", _FOOTPRINT, _footprint_rows(found), _FOOTPRINT_NOTE),
        ("Other packages on the same pictures", _FACES, _faces_rows(found), _FACES_NOTE),
        ("Speed beside them", _RATIOS, _ratio_rows(found), _RATIO_NOTE),
        ("Settings of the Haar cascade", _HAAR, _haar_rows(found), _HAAR_NOTE),
        *sections(found["alignment"]),
        ("Damaged pictures and models", _FUZZ, _fuzz_rows(found), _FUZZ_NOTE),
    ):
        parts += [f"\n## {title}\n", markdown_table(headings, rows) if rows else MISSING, f"\n{note}"]
    return "\n".join(parts) + "\n"


def _identity(record: dict[str, Any]) -> tuple[Any, ...]:
    kind = record["kind"]
    what: tuple[Any, ...] = ()
    if kind == "pipeline":
        frame = record["frame"]
        what = (frame["width"], frame["height"], record["detector"], record["detect_every"], record.get("infer_every"))
        what += (f"live {record['live']['fps']:g}",) if "live" in record else ()
    elif kind == "footprint":
        what = (record["system"],)
    elif kind == "alignment":
        what = (record["model"],)
    return kind, record["machine"].get("model"), *what


def _stability(record: Mapping[str, Any]) -> Stability | None:
    """Return what a checked record says of its own run; None where it says nothing."""
    block = record.get("stability")
    return None if block is None else Stability(block["verdict"], tuple(block["reasons"]))


def _worst(values: Iterable[float]) -> float | None:
    return max(values, default=None)


def overhead(found: Runtime, live: bool, followed: bool | None = None) -> float | None:
    """Return the largest share of a frame's time, in percent, that is neither detection nor inference, at 640×480.

    Args:
        found: the records.
        live: of those whose frames were decoded in a capture thread, else of those that decode in turn.
        followed: of those that follow faces between detections, or of those that detect in every frame; None: of both.
    """
    return _worst(
        100 * each["overhead"]["share"]
        for each in _at_size(found["pipeline"])
        if ("live" in each) == live and followed in (None, each["detect_every"] > 1)
    )


def with_capture(found: Runtime) -> float | None:
    """Return the largest such share, in percent, of live records with the capture thread's CPU time counted in."""
    return _worst(100 * each["live"]["share_with_capture"] for each in _at_size(found["pipeline"]) if "live" in each)


def _at_size(pipelines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records whose frames have the size that the target names and that were taken in peace."""
    return [
        each
        for each in pipelines
        if (each["frame"]["width"], each["frame"]["height"]) == FRAME and not mark(_stability(each))
    ]


def start_s(found: Runtime, command: str) -> float | None:
    """Return the largest median of seconds, taken in peace, from start to end of a command as a whole process."""
    return _worst(
        entry["seconds"]["median"]
        for record in found["startup"]
        for entry in record["commands"]
        if entry["name"] == command and not mark(_stability(record))
    )


def _legs(found: Runtime) -> list[dict[str, Any]]:
    """Return the legs of the soaks that are long enough."""
    long = [record for record in found["soak"] if record["legs"][0]["frames"] >= SOAK_FRAMES]
    return [leg for record in long for leg in record["legs"]]


def moved_mb(found: Runtime) -> float | None:
    """Return by how much memory moved at most: from its median, or by its growth, whose interval's end counts."""
    memory = [leg["memory_mb"] for leg in _legs(found)]
    return _worst(max(each["deviation"], *map(abs, each["growth_ci95"])) for each in memory)


def waiting(found: Runtime) -> float | None:
    """Return the most frames that waited for a reader."""
    return _worst(float(leg["waiting"]) for leg in _legs(found))


def beyond(found: Runtime) -> float | None:
    """Return how many packages fer-edge asks for beyond numpy, OpenCV, LiteRT and click."""
    return _worst(float(len(set(each["asks_for"]) - set(BASE))) for each in found["footprint"])


def speed(found: Runtime, model: str, against: str) -> float | str | None:
    """Return how many times as fast per face a tool of ours is as another; a text where that one does not run."""
    tools = {tool["name"]: tool for record in found["faces"] for tool in record["tools"]}
    if against in tools and "error" in tools[against]:
        return str(tools[against]["status"])
    pairs = [entry for record in found["faces"] for entry in record["ratios"]]
    medians = [entry["median"] for entry in pairs if (entry["model"], entry["against"]) == (model, against)]
    return min(medians, default=None)


def smaller(found: Runtime, against: str) -> float | None:
    """Return how many times as much room another tool's environment takes as fer-edge's base install."""
    sizes = {tool["name"]: tool["size_bytes"] for record in found["faces"] for tool in record["tools"]}
    return sizes[against] / sizes[OURS] if {OURS, against} <= set(sizes) else None


def crashes(found: Runtime, kind: str) -> float | None:
    """Return how many damaged inputs did what they may not; None where too few were tried."""
    tried = [record[kind] for record in found["fuzz"]]
    enough = [each for each in tried if sum(each["outcomes"].values()) + len(each["wrong"]) >= FUZZED[kind]]
    return _worst(float(len(each["wrong"])) for each in enough)


_OVERHEAD = "pipeline beside detection and inference, share of the frame at 640×480"
TARGETS: tuple[Target[Runtime], ...] = (
    Target(f"{_OVERHEAD}; detection in every frame", 10, False, " %", lambda found: overhead(found, False, False)),
    Target(f"{_OVERHEAD}; faces followed between detections", 10, False, " %",
           lambda found: overhead(found, False, True)),
    Target(f"{_OVERHEAD}; a live camera, decoded in its own thread", 10, False, " %",
           lambda found: overhead(found, True)),
    Target("the same with the capture thread's CPU time counted in", 10, False, " %", with_capture),
    Target("memory over 100,000 frames and before a slow reader, moved by at most", 5, False, " MB", moved_mb),
    Target("frames that wait for a reader", 1, False, "", waiting),
    Target("`fer-edge image`, start to answer", 1.5, False, " s", lambda found: start_s(found, IMAGE)),
    Target("`fer-edge --help`", 0.3, False, " s", lambda found: start_s(found, HELP)),
    Target("the wheel with its models", 6, False, " MB",
           lambda found: _worst(each["wheel_bytes"] / _MB for each in found["footprint"])),
    Target("packages asked for beyond numpy, OpenCV, LiteRT and click", 0, False, "", beyond),
    Target("speed per face, base install (Haar), against fer", 1, True, "×", lambda found: speed(found, OURS, "fer")),
    Target("the same with fer looking for faces as small as we do", 1, True, "×",
           lambda found: speed(found, OURS, "fer-30px")),
    Target("speed per face, with YuNet, against fer", 1, True, "×", lambda found: speed(found, YUNET, "fer")),
    Target("speed per face against deepface", 1, True, "×", lambda found: speed(found, OURS, "deepface")),
    Target("installed size of fer, of ours", 1, True, "×", lambda found: smaller(found, "fer")),
    Target("installed size of deepface, of ours", 1, True, "×", lambda found: smaller(found, "deepface")),
    Target("10,000 damaged pictures: crashes, hangs, other errors", 0, False, "",
           lambda found: crashes(found, "pictures")),
    Target("2,000 damaged models: crashes, hangs, other errors", 0, False, "", lambda found: crashes(found, "models")),
)  # fmt: skip

_PIPELINE = ("Frame", "Decoding", "Detector, every", *(name.capitalize() for name in STAGES),
             "End to end", "Overhead (95 %)", "Capture thread's CPU", "Frames", "Machine")  # fmt: skip
_PIPELINE_NOTE = (
    "Median milliseconds of a frame, of a stage where it ran. Overhead: median over detection cycles of the share of "
    "their time that is neither detection nor inference. In turn: one thread decodes a frame and reads it, as a video "
    "file. Live: a capture thread decodes at a camera's pace while the newest frame is read; a frame's time begins "
    "when it is there and the reader free, handover is what passes until the reader has it, and decoding, in "
    "parentheses, is no part of it. It takes its time of another core all the same: the capture thread's CPU time, in "
    "milliseconds of each frame that it decoded, and the overhead of all frames together with that time counted in. A "
    "(noisy) measurement answers no target."
)
_STARTUP = ("Command", "Median s", "p90 s", "Processes", "Machine")
_STARTUP_NOTE = "Whole processes from start to exit, with the files in the system's cache."
_SOAK = ("Leg", "Frames", "Size", "Dropped", "Waiting at most", "Memory MB", "± MB", "Growth MB (95 %)", "Descriptors",
         "Threads", "Verdict")  # fmt: skip
_SOAK_NOTE = (
    "After the first fifth of the frames. ±: largest distance of a sample from the median. Growth: slope of the "
    "medians of 20 blocks times the frames that they span. Slow reader: a live camera at a fixed pace before a reader "
    "that pauses."
)
_FOOTPRINT = (
    "System", "Python", "Wheel", "Installed", "Packages", "Import and load s", "First answer s", "Times",
)  # fmt: skip
_FOOTPRINT_NOTE = (
    "Installed: all files of the packages without byte code. Seconds: medians over fresh processes, counted from "
    "inside Python. Installed and packages are those of this record's day."
)
_FACES = ("Tool", "ms a face: p50 / p90", "Installed", "Packages", "Answers", "Note")
_FACES_NOTE = (
    "Each tool in an environment and a process of its own, on one core, without a network, picture by picture in "
    "turns; decoding is left out. Milliseconds: mean over the pictures in which every tool that runs found one face, "
    "by round. The answers to a few pictures say nothing about accuracy."
)
_RATIOS = ("Tool", "Against", "Times as fast (95 %)", "p10 to p90", "Rounds", "Machine")
_RATIO_NOTE = "Median of the rounds' ratios, with its bootstrap interval; below 1 the other one is faster."
_HAAR = ("Scale factor", "Neighbours", "From px", "Grey levels", "Found (95 %)", "In the dark", "False a scene (95 %)",
         "ms a scene", "Times the default's (95 %)", "The default finds more by, points (95 %)")  # fmt: skip
_HAAR_NOTE = (
    "The first row is the default, the second the default before. Faces of a data set on photographs without faces, "
    "every second scene dark, all settings in turns on one thread: the shares compare settings and are not a camera's."
)
_FUZZ = ("Input", "Tried", "Taken", "Refused in one line", "Crashes, hangs, other errors", "Seed")
_FUZZ_NOTE = "Each input is damaged by its number and the seed alone, and tried in a process that may die."


def _pipeline_rows(found: Runtime) -> Sequence[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for record in found["pipeline"]:
        stages = record["stages_ms"]
        low, high = record["overhead"]["ci95"]
        live, doubt = record.get("live"), mark(_stability(record))
        spent = [f"{stages[name]['p50']:.2f}" if name in stages else MISSING for name in STAGES]
        if live is not None:
            spent[0] = f"({live['decode_ms']['p50']:.2f})"
        rows.append((
            f"{record['frame']['width']}×{record['frame']['height']}",
            "in turn" if live is None else f"live, {live['fps']:g} a second, {live['dropped']:,} dropped",
            f"{record['detector']}, {record['detect_every']}",
            *spent,
            f"{record['end_to_end_ms']['p50']:.2f}{doubt}",
            f"{100 * record['overhead']['share']:.1f} % ({100 * low:.1f} to {100 * high:.1f}){doubt}",
            MISSING if live is None else f"{live['capture_cpu_ms'] / live['captured']:.2f} ms, with it "
            f"{100 * live['share_with_capture']:.1f} %",
            f"{record['frames']:,}",
            machine_text(record["machine"]),
        ))  # fmt: skip
    return sorted(rows)


def _startup_rows(found: Runtime) -> Sequence[tuple[str, ...]]:
    return [
        (f"`{entry['name']}`", f"{entry['seconds']['median']:.2f}{mark(_stability(record))}",
         f"{entry['seconds']['p90']:.2f}", str(entry["repeats"]), machine_text(record["machine"]))
        for record in found["startup"] for entry in record["commands"]
    ]  # fmt: skip


def _soak_rows(found: Runtime) -> Sequence[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for leg in [leg for record in found["soak"] for leg in record["legs"]]:
        memory = leg["memory_mb"]
        low, high = memory["growth_ci95"]
        rows.append((
            leg["name"], f"{leg['frames']:,}", f"{leg['width']}×{leg['height']}", f"{leg['dropped']:,}",
            str(leg["waiting"]), f"{memory['median']:.1f}", f"{memory['deviation']:.2f}",
            f"{memory['growth']:+.2f} ({low:+.2f} to {high:+.2f})".replace("-", "−"),
            _span(leg["descriptors"]), _span(leg["threads"]), leg["verdict"],
        ))  # fmt: skip
    return rows


def _footprint_rows(found: Runtime) -> Sequence[tuple[str, ...]]:
    return sorted(
        (
            record["system"], record["python"], f"{record['wheel_bytes'] / _MB:.2f} MB",
            f"{record['size_bytes'] / _MB:.0f} MB",
            ", ".join(f"{name} {entry['size_bytes'] / _MB:.1f}" for name, entry in record["packages"].items()) + " MB",
            f"{record['import_s']:.2f}", f"{record['first_answer_s']:.2f}",
            "an emulator's" if record["emulated"] else f"of {record['repeats']} processes",
        )
        for record in found["footprint"]
    )  # fmt: skip


def _faces_rows(found: Runtime) -> Sequence[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for tool in [tool for record in found["faces"] for tool in record["tools"]]:
        times = tool.get("face_ms")
        said = answers_text(tool.get("answers", {}))
        rows.append((
            f"{tool['name']} {tool.get('version', '')}".strip(),
            f"{times['p50']:.1f} / {times['p90']:.1f}" if times else MISSING,
            f"{tool['size_bytes'] / _MB:,.0f} MB",
            str(len(tool["packages"])),
            said or f"{tool['status']}: {tool.get('error', MISSING)}",
            tool["note"],
        ))  # fmt: skip
    return rows


def _ratio_rows(found: Runtime) -> Sequence[tuple[str, ...]]:
    return [
        (
            entry["model"], entry["against"],
            f"{entry['median']:.2f}× ({entry['ci95'][0]:.2f} to {entry['ci95'][1]:.2f})",
            f"{entry['p10']:.2f} to {entry['p90']:.2f}", str(entry["pairs"]), machine_text(record["machine"]),
        )
        for record in found["faces"] for entry in record["ratios"]
    ]  # fmt: skip


def _haar_rows(found: Runtime) -> Sequence[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for row in [row for record in found["detectors"] for row in record["settings"]]:
        low, high = (100 * end for end in row["found_ci95"])
        times, more = row["times"], row["more_ci95"]
        rows.append((
            str(row["scale_factor"]), str(row["min_neighbours"]), str(row["min_side_px"]), row["contrast"],
            f"{100 * row['found']:.1f} % ({low:.1f} to {high:.1f})", f"{100 * row['found_dark']:.1f} %",
            f"{row['false_per_scene']:.2f} ({row['false_ci95'][0]:.2f} to {row['false_ci95'][1]:.2f})",
            f"{row['scene_ms']['p50']:.1f}",
            f"{times['median']:.2f} ({times['ci95'][0]:.2f} to {times['ci95'][1]:.2f})",
            f"{_tenths(row['more_points'])} ({_tenths(more[0])} to {_tenths(more[1])})",
        ))  # fmt: skip
    return rows


def _fuzz_rows(found: Runtime) -> Sequence[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for record in found["fuzz"]:
        for kind in FUZZED:
            taken, refused = record[kind]["outcomes"]["taken"], record[kind]["outcomes"]["refused"]
            wrong = len(record[kind]["wrong"])
            counts = (taken + refused + wrong, taken, refused, wrong)
            rows.append((kind, *(f"{count:,}" for count in counts), str(record["seed"])))
    return rows


def _tenths(points: float) -> str:
    """Return points with one decimal and their sign, a true minus; what rounds to nothing has a plus."""
    return f"{round(points, 1) + 0.0:+.1f}".replace("-", "−")


def _span(values: Sequence[int]) -> str:
    low, high = values
    return str(low) if low == high else f"{low} to {high}"
