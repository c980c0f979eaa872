"""``python -m train compare`` and ``python -m train protocols``: runs against each other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from edge.errors import DataError
from edge.files import write_atomically
from train.commands.evaluate import (
    before_text,
    default_protocol,
    disclosed,
    figures_text,
    find_own,
    gain_text,
    under,
)
from train.commands.options import tta_option
from train.datasets import DATASETS, PROTOCOLS, load
from train.evaluation.leakage import ancestors, own_dataset

SIGNIFICANCE = 0.05


@click.command()
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@click.option("--dataset", required=True, type=click.Choice(sorted(DATASETS)))
@click.option("--data", type=click.Path(path_type=Path), help="Where the data set lies.")
@click.option("--part", default="test", show_default=True, help="Official part name or role (validation, test).")
@click.option("--protocol", type=click.Choice(PROTOCOLS), help="Default: the runs' own.")
@tta_option
@click.option(
    "--allow-leaks", is_flag=True, help="Compare also where a run, or what it comes from, was trained on them."
)
@click.option("--out", type=click.Path(path_type=Path), help="JSON to write; default: in RUN_B's evaluations.")
def compare(
    run_a: Path,
    run_b: Path,
    dataset: str,
    data: Path | None,
    part: str,
    protocol: str | None,
    tta: str,
    allow_leaks: bool,
    out: Path | None,
) -> None:
    """Say what RUN_B does better or worse than RUN_A on the same pictures, with McNemar's exact test."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from train.evaluation.comparison import change_table, compare_runs, counts_table
    from train.evaluation.plots import plot_comparison
    from train.evaluation.predictions import FOLDER
    from train.runs import read_config

    if out is not None and out.suffix != ".json":
        raise DataError(f"expected a name that ends in .json as --out (a .png lies beside it); got {out}; rename it")
    configs = [read_config(run) for run in (run_a, run_b)]
    loaded = load(dataset, data)
    defaults = sorted({default_protocol(config, loaded) for config in configs})
    if protocol is None and len(defaults) > 1:
        raise DataError(
            f"expected runs under one protocol; {run_a} and {run_b} were trained under {' and '.join(defaults)}; "
            "say by --protocol under which to compare them"
        )
    own = (find_own(configs[0], [loaded]), find_own(configs[1], [loaded]))
    reported = under(loaded, protocol or defaults[0], *own)
    before = (ancestors(configs[0], [loaded], own[0]), ancestors(configs[1], [loaded], own[1]))
    result = compare_runs((run_a, run_b), reported, part, tta, own=own, ancestors=before, allow_leaks=allow_leaks)
    file = out or run_b / FOLDER / f"{stem(result)}.json"
    write_atomically(file, json.dumps(result, indent=1) + "\n")
    plot_comparison(result, file.with_suffix(".png"))
    click.echo(counts_table(result))
    click.echo()
    click.echo(change_table(result))
    for line in compared(result):
        click.echo(line)
    click.echo(f"kept as {file}")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), help="Where the runs' data set lies.")
@click.option("--part", default="test", show_default=True, type=click.Choice(("validation", "test")))
@tta_option
@click.option("--out", type=click.Path(path_type=Path), help="JSON to write; default: in the first run's evaluations.")
def protocols(runs: tuple[Path, ...], data: Path | None, part: str, tta: str, out: Path | None) -> None:
    """Set a data set's protocols side by side: one run for each, fitted under it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from train.evaluation.comparison import protocols_table, side_by_side
    from train.evaluation.predictions import FOLDER
    from train.runs import read_config

    configs = [read_config(run) for run in runs]
    names = sorted({config["data"]["name"] for config in configs})
    if len(names) > 1:
        raise DataError(f"expected runs on one data set; got {', '.join(names)}; name runs of one of them")
    loaded = load(names[0], data)
    owns = [own_dataset(config, loaded) for config in configs]
    before = [ancestors(config, [loaded], own) for config, own in zip(configs, owns, strict=True)]
    table = side_by_side(runs, owns, part, tta, ancestors=before)
    tail = "" if tta == "none" else f"-{tta}"
    file = out or runs[0] / FOLDER / f"protocols-{names[0]}-{part}{tail}.json"
    write_atomically(file, json.dumps(table, indent=1) + "\n")
    click.echo(protocols_table(table))
    for note in dict.fromkeys(note for row in table["rows"] for note in row["notes"]):
        click.echo(note)
    for row in table["rows"]:
        if "tta_gain" in row:
            click.echo(f"{row['protocol']}: TTA {tta}: {gain_text(row['tta_gain'])}")
        for line in disclosed(row["run"]["supervision"]):
            click.echo(f"{row['run']['name']}: {line}")
        for each in row["run"]["seen_before"]:
            click.echo(f"{row['run']['name']}: {before_text(each)}")
    for line in cautions(table):
        click.echo(line)
    click.echo(f"kept as {file}")


def compared(result: dict[str, Any]) -> list[str]:
    """Return a comparison in lines: each run's figures, the difference, the test, what was seen or disclosed."""
    view = "" if result["tta"] == "none" else f", TTA {result['tta']}"
    place = f"{result['dataset']} {result['part']} ({result['protocol']}){view}"
    lines = list(result["notes"])
    for run in result["runs"]:
        lines.append(f"{run['name']} ({run['backbone']}, {run['recipe']}): {figures_text(run['figures'])}")
        lines += [f"{run['name']}: {line}" for line in disclosed(run["supervision"])]
        seen = run["seen"]
        if seen is None:
            lines.append(f"{run['name']}: trained on other data ({run['trained_on']['name']}); leaks not looked for")
        elif seen["trained"]:
            lines.append(
                f"{run['name']}: A LEAK: trained on {seen['trained']:,} of these {seen['samples']:,} pictures; "
                "this is no test of it"
            )
        lines += [f"{run['name']}: {before_text(each)}" for each in run["seen_before"]]
    first, second = (run["name"] for run in result["runs"])
    (low, high), (low_f1, high_f1) = result["difference_ci95"], result["macro_f1_difference_ci95"]
    verdict = "significant" if result["p_value"] < SIGNIFICANCE else "not significant"
    lines.append(
        f"{second} minus {first} on {place}: accuracy {result['difference_points']:+.2f} points (paired 95 % "
        f"{low:+.2f} to {high:+.2f}), macro-F1 {result['macro_f1_difference_points']:+.2f} points ({low_f1:+.2f} to "
        f"{high_f1:+.2f})"
    )
    counts = result["counts"]
    lines.append(
        f"McNemar's exact test on {counts['only_first_right'] + counts['only_second_right']} discordant pictures: "
        f"p = {result['p_value']:.2g} ({verdict} at {SIGNIFICANCE:.0%}); same answer on {result['agreement']:.1%}"
    )
    return lines


def cautions(table: dict[str, Any]) -> list[str]:
    """Return what the reader of a table of protocols must know."""
    lines = [
        "each row: its own run, trained and selected under that protocol alone; test parts differ, so rows are not "
        "paired; pictures seen in training make a row look better than it is"
    ]
    if table["differing"]:
        lines.append(f"the runs also differ in {', '.join(table['differing'])}: not the protocol's doing alone")
    if table["missing"]:
        lines.append(f"no run under {', '.join(table['missing'])}: python -m train fit … --protocol NAME makes one")
    return lines


def stem(result: dict[str, Any]) -> str:
    """Return the name, without suffix, of a comparison's files in the second run's folder."""
    first, second = result["runs"]
    words = ["against", first["name"], first["model_sha256"][:8], result["dataset"], result["part"]]
    if result["fingerprint"] != second["trained_on"]["fingerprint"]:  # not the data of the run that the file lies in
        words.append(result["fingerprint"][:8])
    words.append(result["protocol"])
    if result["tta"] != "none":
        words.append(result["tta"])
    return "-".join(words)
