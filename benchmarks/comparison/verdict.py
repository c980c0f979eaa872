"""The verdict on one figure of two records: a loss counts only where its whole interval lies past the threshold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

REGRESSION, IMPROVEMENT, NO_CHANGE = "regression", "improvement", "no change"
NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Finding:
    """How one figure changed.

    Attributes:
        what: the figure.
        old: its value in the old record.
        new: its value in the new one.
        loss: in `unit`; a plus means that the new record is worse, whether more or less of the figure is better.
        low: lower end of the 95 % interval of `loss`; `high` the upper end; both `loss` where nothing is random.
        threshold: in `unit`, 0 or more: a loss up to it is let pass.
        unit: "%" of the old value, or "points".
        method: how loss and interval were found.
    """

    what: str
    old: float
    new: float
    loss: float
    low: float
    high: float
    threshold: float
    unit: str
    method: str

    @property
    def verdict(self) -> str:
        """Return regression, improvement or no change."""
        if self.low > self.threshold:
            return REGRESSION
        return IMPROVEMENT if self.high < -self.threshold else NO_CHANGE

    @property
    def hidden(self) -> bool:
        """Return whether "no change" is for lack of samples: the interval reaches past the threshold."""
        return self.verdict == NO_CHANGE and (self.high > self.threshold or self.low < -self.threshold)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self) | {"verdict": self.verdict, "undecided": self.hidden}


def overall(findings: Iterable[Finding]) -> str:
    """Return the verdict on all: a regression counts before an improvement, that before no change.

    Raises:
        ValueError: there are no findings.
    """
    verdicts = {finding.verdict for finding in findings}
    for verdict in (REGRESSION, IMPROVEMENT, NO_CHANGE):
        if verdict in verdicts:
            return verdict
    raise ValueError("expected one finding or more; got none")
