from __future__ import annotations

import dataclasses

import pytest

from edge.web.guard import Ask, Guard, checked_token, cookie_name, is_loopback, own_names

LOCAL = Guard(own_names("127.0.0.1", "pi"), any_address=False)
TOKEN = "t" * 20
OPEN = Guard(own_names("0.0.0.0", "pi", ["door.example"]), any_address=True, token=TOKEN)
PAGE = Ask("GET", "/", host="localhost:8000")


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST", "localhost."]
)
def test_this_machines_own_names_are_answered(host: str) -> None:
    assert LOCAL.refusal(dataclasses.replace(PAGE, host=host)) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "192.168.1.5",
        "localhost@evil.example",
        "localhost:x",
        "a/b",
        "pi",
        "localhost:70000",
        "[",
    ],
)
def test_a_foreign_name_turned_to_this_machine_is_refused(host: str) -> None:
    refusal = LOCAL.refusal(dataclasses.replace(PAGE, host=host))
    assert refusal is not None and refusal.status == 403 and "\n" not in refusal.text


@pytest.mark.parametrize("host", ["pi:8000", "pi.local", "192.168.1.5:8000", "[fe80::1]", "door.example"])
def test_on_the_network_addresses_and_the_machines_names_are_answered(host: str) -> None:
    assert OPEN.host_is_ours(host) and not OPEN.host_is_ours("evil.example")


@pytest.mark.parametrize(
    "carried", [{"query_token": TOKEN}, {"authorization": f"Bearer {TOKEN}"}, {"cookie": OPEN.cookie}]
)
def test_the_token_opens_in_three_ways(carried: dict[str, str]) -> None:
    assert OPEN.refusal(dataclasses.replace(PAGE, **carried)) is None


@pytest.mark.parametrize(
    "carried",
    [
        {},
        {"query_token": TOKEN[:-1]},
        {"authorization": f"Basic {TOKEN}"},
        {"cookie": TOKEN},
        {"query_token": "\udcff"},
    ],
)
def test_no_token_or_another_is_refused(carried: dict[str, str]) -> None:
    refusal = OPEN.refusal(dataclasses.replace(PAGE, **carried))
    assert refusal is not None and refusal.status == 401 and TOKEN not in refusal.text


def test_health_needs_no_token_but_our_name() -> None:
    assert OPEN.refusal(Ask("GET", "/healthz", host="pi")) is None
    assert OPEN.refusal(Ask("GET", "/healthz", host="evil.example")) is not None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://localhost:9000",
        "file://localhost:8000",
        "http://[",
        "http://\u2100.example",
    ],
)
def test_a_picture_sent_by_another_page_is_refused(origin: str) -> None:
    ask = Ask("POST", "/api/image", host="localhost:8000", origin=origin)
    assert LOCAL.refusal(ask) is not None
    assert LOCAL.refusal(dataclasses.replace(ask, origin="http://localhost:8000")) is None
    assert LOCAL.refusal(dataclasses.replace(ask, origin="")) is None  # a program


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_page_may_link_here_and_embed_nothing(site: str) -> None:
    live = Ask("GET", "/live.mjpg", host="localhost:8000", fetch_site=site, fetch_mode="no-cors")
    assert LOCAL.refusal(live) is not None
    assert LOCAL.refusal(dataclasses.replace(live, fetch_site="same-origin")) is None
    assert LOCAL.refusal(dataclasses.replace(PAGE, fetch_site=site, fetch_mode="navigate")) is None


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:8000", "fer_edge_8000"),
        ("[::1]:9000", "fer_edge_9000"),
        ("pi", "fer_edge_80"),
        ("pi:x", "fer_edge_80"),
    ],
)
def test_the_cookie_is_named_by_the_port(host: str, name: str) -> None:
    assert cookie_name(host) == name


def test_addresses_to_itself_are_told_from_others() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.5", "pi")))


@pytest.mark.parametrize("token", ["short", "a" * 15, "a" * 20 + " ", "ü" * 20, "a" * 20 + ";"])
def test_a_weak_or_unsendable_token_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="expected a token of 16 or more"):
        checked_token(token)
    assert checked_token(TOKEN) == TOKEN
