"""``python -m train pack``: one part of a data set as a file that the device's benchmark reads."""

from __future__ import annotations

from pathlib import Path

import click

from train.datasets import DATASETS, PROTOCOLS, apply_protocol, limit_note, load


@click.command()
@click.option("--dataset", required=True, type=click.Choice(sorted(DATASETS)))
@click.option("--data", type=click.Path(path_type=Path), help="Where the data set lies.")
@click.option("--part", default="test", show_default=True, help="Official part name or role (validation, test).")
@click.option("--protocol", default="official-dedup", show_default=True, type=click.Choice(PROTOCOLS))
@click.option("--limit", type=click.IntRange(1), help="Only the first N pictures.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write, ending in .npz.")
def pack(dataset: str, data: Path | None, part: str, protocol: str, limit: int | None, out: Path) -> None:
    """Write one part as PACK.npz: pictures, labels, classes and where they come from."""
    from edge.pictures.packs import write_pack

    loaded = apply_protocol(load(dataset, data), protocol)
    name = loaded.part_name(part)
    pictures = loaded.parts[name]
    count = len(pictures) if limit is None else min(limit, len(pictures))
    meta = {
        "dataset": loaded.name,
        "part": name,
        "role": next((role for role, other in loaded.roles.items() if other == name), "other"),
        "protocol": loaded.protocol,
        "fingerprint": loaded.fingerprint,
        "crop": "already cropped",
        "samples": count,
        "of": len(pictures),
    }
    for note in (*loaded.notes, limit_note(loaded, name, limit)):
        if note:
            click.echo(note, err=True)
    write_pack(out, pictures.images[:count], pictures.labels[:count], loaded.labels, meta)
    click.echo(f"{count} pictures of {dataset} {name} in {out}")
