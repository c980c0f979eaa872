"""Checked look-ups in one JSON object of a record: what is wrong is named by file and field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import DataError

_REMEDY = "write it again with `fer-edge benchmark ... --record`"


@dataclass(frozen=True)
class Fields:
    """One JSON object of a record; every look-up is checked and names the file and the field when it fails."""

    path: Path
    where: str
    values: Mapping[str, Any]

    def fail(self, key: str, expected: str) -> DataError:
        """Return the error for a field that is not what was expected."""
        came = json.dumps(self.values.get(key), ensure_ascii=False) if key in self.values else "no such field"
        short = came if len(came) <= 60 else came[:57] + "..."
        return DataError(f"{self.path}: {self.where}{key}: expected {expected}; got {short}; {_REMEDY}")

    def text(self, key: str) -> str:
        """Return a non-empty text."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self.fail(key, "a text")
        return value

    def number(self, key: str, low: float = 0.0, high: float = float("inf")) -> float:
        """Return a number in low..high."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.fail(key, f"a number in {low:g}..{high:g}")
        return float(value)

    def whole(self, key: str, low: int = 1) -> int:
        """Return a whole number of at least `low`."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise self.fail(key, f"a whole number of at least {low}")
        return value

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """Return `count` numbers."""
        value = self.values.get(key)
        if not isinstance(value, list) or len(value) != count or not all(isinstance(x, int | float) for x in value):
            raise self.fail(key, f"{count} numbers")
        return tuple(float(x) for x in value)

    def maybe_text(self, key: str) -> str | None:
        """Return a non-empty text; None where there is none."""
        return None if self.values.get(key) is None else self.text(key)

    def maybe_number(self, key: str, low: float = 0.0, high: float = float("inf")) -> float | None:
        """Return a number in low..high; None where there is none."""
        return None if self.values.get(key) is None else self.number(key, low, high)

    def maybe_block(self, key: str) -> Fields | None:
        """Return the object under `key`; None where there is none."""
        return None if self.values.get(key) is None else self.block(key)

    def blocks(self, key: str) -> list[Fields]:
        """Return a list of objects; empty where there is none."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.fail(key, "a list of objects")
        return [Fields(self.path, f"{self.where}{key}.{index}.", each) for index, each in enumerate(value)]

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, which may be empty."""
        value = self.values.get(key)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.fail(key, "a list of texts")
        return tuple(value)

    def positive(self, key: str) -> tuple[float, ...]:
        """Return a list of numbers above 0; empty where there is none."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(
            isinstance(x, int | float) and not isinstance(x, bool) and x > 0 for x in value
        ):
            raise self.fail(key, "a list of numbers above 0")
        return tuple(float(x) for x in value)

    def maybe_interval(self, key: str) -> tuple[float, float] | None:
        """Return two numbers, the lower first; None where there are none."""
        if self.values.get(key) is None:
            return None
        low, high = self.numbers(key, 2)
        if low > high:
            raise self.fail(key, "an interval, its lower end first")
        return low, high

    def counts(self, key: str) -> dict[str, int]:
        """Return an object of names and whole numbers."""
        block = self.block(key)
        return {name: block.whole(name, low=0) for name in block.values}

    def block(self, key: str) -> Fields:
        """Return the object under `key`."""
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.fail(key, "an object")
        return Fields(self.path, f"{self.where}{key}.", value)
