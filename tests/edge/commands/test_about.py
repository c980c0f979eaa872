from __future__ import annotations

import ast
import json
import re
from datetime import date
from pathlib import Path

import pytest

from edge import __version__
from edge.inference.modelfile import SHIPPED, read_model
from tests.edge.conftest import Run

ROOT = Path(__file__).resolve().parents[3]
# Where a connection may be opened, and where one may be waited for (`fer-edge serve`, by the user's wish).
ONLINE = {"edge/fetch.py"}
LISTENING = {"edge/commands/serve.py"} | {
    f"edge/web/{name}.py" for name in ("app", "hub", "listening", "server", "view")
}
NETWORK = {"socket", "ssl", "http", "ftplib", "smtplib", "urllib.request", "requests", "asyncio", "xmlrpc"}


def test_about_says_what_it_is_for_and_what_not(run: Run) -> None:
    result = run("about")
    assert (result.exit_code, result.stderr) == (0, "")
    text = " ".join(result.stdout.split())
    for part in (
        f"fer-edge {__version__}", "Apache-2.0", "not a feeling", "Not for: Judging people", "hiring", "schooling",
        "nothing is sent anywhere", "YuNet (MIT)", "FER2013", "research",
    ):  # fmt: skip
        assert part in text, part
    assert max(map(len, result.stdout.splitlines())) <= 120


def test_about_names_the_provisions_with_their_dates_and_gives_no_legal_advice(run: Run) -> None:
    law = json.loads(run("about", "--json").stdout)["law"]
    assert "(EU) 2024/1689" in law["name"] and "no legal advice" in law["note"]
    provisions = {entry["provision"]: entry for entry in law["provisions"]}
    ban, duty = provisions["article 5(1)(f)"], provisions["article 50(3)"]
    assert date.fromisoformat(ban["applies_from"]) == date(2025, 2, 2)
    assert "workplace and education institutions" in ban["summary"] and "medical or safety reasons" in ban["summary"]
    assert date.fromisoformat(duty["applies_from"]) == date(2026, 8, 2)
    assert re.search(r"informs the persons exposed", duty["summary"])


def test_the_text_and_the_json_say_the_same(run: Run) -> None:
    text = " ".join(run("about").stdout.split())
    found = json.loads(run("about", "--json").stdout)
    assert set(found) == {
        "name", "version", "licence", "what", "intended_use", "not_for", "law", "privacy", "data", "third_parties",
        "model", "models",
    }  # fmt: skip
    for part in (
        found["what"], found["intended_use"], found["not_for"], found["data"], *found["privacy"],
        *(entry["summary"] for entry in found["law"]["provisions"]),
        *(entry["name"] for entry in found["third_parties"]), *(entry["licence"] for entry in found["third_parties"]),
        found["model"]["not_for"],
    ):  # fmt: skip
        assert " ".join(part.split()) in text, part


def test_about_shows_the_shipped_models_own_words(run: Run) -> None:
    contract = read_model().contract
    model = json.loads(run("about", "--json").stdout)["model"]
    assert (model["name"], model["version"], model["licence"]) == (contract.name, contract.version, contract.licence)
    assert (model["intended_use"], model["not_for"]) == (contract.intended_use, contract.not_for)
    models = json.loads(run("about", "--json").stdout)["models"]
    assert models[0] == model and [entry["name"] for entry in models] == [
        read_model(name).contract.name for name in SHIPPED
    ]


def test_about_without_a_shipped_model_says_the_rest(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edge.inference.modelfile.default_model_path", lambda: tmp_path / "none.tflite")
    result = run("about", "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["model"] is None
    assert "Not for:" in run("about").stdout


def test_every_third_party_that_the_wheel_asks_for_is_named(run: Run) -> None:
    import configparser

    configuration = configparser.RawConfigParser()
    configuration.read(ROOT / "setup.cfg", encoding="utf-8")
    wanted = re.findall(r"^([a-z-]+)[>=<;]", configuration["options"]["install_requires"], re.MULTILINE)
    assert {"numpy", "click"} <= set(wanted)
    names = " ".join(entry["name"] for entry in json.loads(run("about", "--json").stdout)["third_parties"]).lower()
    words = {"opencv-python-headless": "opencv", "ai-edge-litert": "litert"}
    assert [name for name in wanted if words.get(name, name) not in names] == []


def test_everything_that_can_be_fetched_is_named(run: Run) -> None:
    from edge.commands.fetch import fetch

    names = " ".join(entry["name"] for entry in json.loads(run("about", "--json").stdout)["third_parties"]).lower()
    assert fetch.commands and [name for name in fetch.commands if name not in names] == []


def network_modules(source: str) -> set[str]:
    """Return the modules of NETWORK that a Python source imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in NETWORK if any(found == name or found.startswith(f"{name}.") for found in names)}


def test_no_module_but_fetch_and_serve_can_open_a_connection() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "edge").rglob("*.py"))
        if network_modules(path.read_text(encoding="utf-8"))
    }
    assert found == ONLINE | LISTENING


@pytest.mark.parametrize(
    "source",
    ["import socket", "def f():\n    from urllib import request", "import http.client", "import urllib.request"],
)
def test_the_check_sees_a_module_that_opens_connections(source: str) -> None:
    assert network_modules(source)
    assert not network_modules("import urllib.parse\nimport json")
