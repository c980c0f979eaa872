"""Two pictures show the same: to the letter in texts and elements, to a hundredth of a point in coordinates."""

from __future__ import annotations

import pytest

from benchmarks.pictures import shows_the_same

PICTURE = (
    '<title>Matplotlib v3.11.2, x</title><path id="m0123456789" d="M 68.597465 -4 L 5.25 6"/>'
    '<g clip-path="url(#p743afd8798)" style="fill: #1d232b"/><text>72.5 %</text>'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [("68.597465", "68.597464"), ("-4", "-4.001"), ("p743afd8798", "p00000000aa"), ("v3.11.2", "v3.12.0rc1")],
)
def test_another_rounding_name_or_version_is_the_same_picture(old: str, new: str) -> None:
    assert shows_the_same(PICTURE, PICTURE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [("68.597465", "68.7"), ("72.5 %", "72.505 %"), ("#1d232b", "#1d232c"), ("L 5.25 6", ""), ("text", "desc")],
)
def test_another_place_text_colour_or_element_is_another_picture(old: str, new: str) -> None:
    assert not shows_the_same(PICTURE, PICTURE.replace(old, new))
