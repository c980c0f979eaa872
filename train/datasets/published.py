"""Whether the pictures found are the ones that a data set was published with, counted by class.

Decided here for every data set: the published numbers pass in silence; fewer of some class are a subset, told in a
note, since figures on a subset compare with no one's; more of some class is another data set, or another label order
(a permutation of the published numbers always has more of some class), and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.errors import DataError


def check_counts(
    found: Sequence[int], published: Mapping[str, int], labels: Sequence[str], what: str
) -> tuple[str, ...]:
    """Return no sentence where the counts are the published ones, else one that tells the subset.

    Args:
        found: pictures by class, in the order of ``labels``.
        published: pictures by class name; names that it lacks have none.
        labels: class names.
        what: the data set and its part, as the sentence names it.

    Raises:
        DataError: a class has more pictures than were published.
    """
    expected = [published.get(name, 0) for name in labels]
    for name, now, then in zip(labels, found, expected, strict=True):
        if now > then:
            raise DataError(
                f"expected at most {then:,} {name} pictures in {what}; got {now:,}; its labels are in another order, "
                "or it is another data set: pass the files as published, or class folders as --dataset folder"
            )
    if list(found) == expected:
        return ()
    return (
        f"{what}: {sum(found):,} of the {sum(expected):,} published pictures: figures on it compare with no others",
    )
