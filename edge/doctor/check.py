"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "warn", "FAIL", "unknown"]


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: of the check, one word.
        status: "ok"; "warn": it works, but not as well as it could; "FAIL": it does not work; "unknown": the machine
            does not say.
        detail: what was found.
        advice: what to do; "" for nothing.
        facts: the same for programs: numbers with their units in the names, None for what the machine does not say.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain JSON values."""
        return {
            "name": self.name,
            "status": self.status,
            "detail": self.detail,
            "advice": self.advice,
            "facts": self.facts,
        }


def mib(size_bytes: int | None) -> str:
    """Return a size as text in MiB."""
    return "an unknown amount" if size_bytes is None else f"{size_bytes >> 20:,} MiB"
