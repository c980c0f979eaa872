from __future__ import annotations

import pytest

from edge.wording import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 threads"), (1, "1 thread"), (2, "2 threads"), (1200, "1,200 threads")]
)
def test_a_number_takes_its_noun_in_the_singular_only_for_one(number: int, text: str) -> None:
    assert counted(number, "thread") == text
