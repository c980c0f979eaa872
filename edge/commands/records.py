"""Lines that the benchmark commands share: what ran where, percentiles, and whether the figures may be trusted."""

from __future__ import annotations

from typing import Any

import click

from edge.wording import counted


def show_and_keep(text: str, record: str | None, result: dict[str, Any]) -> None:
    """Print a measurement and write its record, where one is asked for; where one of the two fails, the other is done.

    Raises:
        OSError: the text cannot be printed, or the record cannot be written.
    """
    from edge.benchmarking.records import write_record

    try:
        click.echo(text)
    finally:
        if record is not None:
            write_record(record, result)


def heading(result: dict[str, Any]) -> str:
    """Return the first line: model, runtime, threads, machine."""
    model, runtime = result["model"], result["runtime"]
    return (
        f"{model['name']} ({model['recipe']}, {model['size_bytes']:,} bytes) with {runtime['name']} "
        f"{runtime['version']}, {counted(result['threads'], 'thread')}, on {result['machine']['model']}"
    )


def percentiles(latency_ms: dict[str, float]) -> str:
    """Return the percentiles of latencies in milliseconds."""
    return f"p50 {latency_ms['p50']:.3f} ms, p90 {latency_ms['p90']:.3f} ms, p99 {latency_ms['p99']:.3f} ms"


def spread(latency_ms: dict[str, float]) -> str:
    """Return the percentiles, the maximum and the median absolute deviation of latencies in milliseconds."""
    return f"{percentiles(latency_ms)}, max {latency_ms['max']:.3f} ms, MAD {latency_ms['mad']:.3f} ms"


def stability(result: dict[str, Any]) -> list[str]:
    """Return the verdict in a line, and a line for each reason."""
    found = result["stability"]
    return [f"stability: {found['verdict']}", *(f"  {reason}" for reason in found["reasons"])]
