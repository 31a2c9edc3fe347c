"""SECURITY.md says what is so: its table is that of the tests, its settings, calls, files and commands are there."""

import dataclasses
import re
from pathlib import Path

import layers_support
import pytest
from http_support import Site

from playground import paths
from playground.commands import COMMANDS
from playground.sandbox.layers import seccomp
from playground.settings import ENV_PREFIX, Settings
from playground.web.routes import CALLS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "SECURITY.md").read_text()
SETTINGS = {row.name for row in dataclasses.fields(Settings)}
# Of pytest, docker, runsc, firecracker.
OTHERS = {
    "every-attack",
    "cap-add",
    "security-opt",
    "runtime",
    "init",
    "network",
    "api-sock",
    "config-file",
}


def test_its_table_is_what_the_tests_of_single_layers_find() -> None:
    assert layers_support.table() in TEXT


def test_its_options_and_variables_are_settings() -> None:
    options = set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", TEXT)) - OTHERS
    assert {option.replace("-", "_") for option in options} <= SETTINGS
    assert len(options) >= 8
    assert {name.lower() for name in re.findall(ENV_PREFIX + r"([A-Z_]+)", TEXT)} <= SETTINGS


def test_its_numbers_are_right() -> None:
    (attacks,) = re.findall(r"more than (\d+) hostile workflows", TEXT)
    assert len(list((ROOT / "attacks").glob("*.py"))) > int(attacks)
    (calls,) = re.findall(r"allows some (\d+) system calls", TEXT)
    assert abs(int(calls) - len(seccomp.ALLOWED)) <= 15  # beside those allowed with some arguments only


@pytest.mark.parametrize(
    "link", re.findall(r"\]\(([^)#]+)\)|`((?:tests|attacks|playground)/[\w./]*)`", TEXT), ids="".join
)
def test_what_it_names_is_there(link: tuple[str, str]) -> None:
    assert (ROOT / "".join(link)).exists()


def test_the_calls_and_commands_that_it_names_are_there() -> None:
    assert all(f"playground {command}" in TEXT for command in COMMANDS)
    served = {call.path for call in CALLS}
    assert "/healthz" in served
    assert "/s/{snippet}/embed" in served


def test_the_tiers_are_those_of_the_probe() -> None:
    assert re.findall(r"^\| ([A-D]) \|", TEXT, re.MULTILINE) == ["A", "B", "C", "D"]


def test_it_is_linked_from_the_readme_and_the_about_page_and_served() -> None:
    assert "](SECURITY.md)" in (ROOT / "README.md").read_text()
    assert 'href="/security"' in (ROOT / "templates/_about.html").read_text()
    assert paths.security().read_text() == TEXT
    assert "/security" in {call.path for call in CALLS}


def test_it_is_a_page_for_a_browser_and_the_text_for_everyone_else(site: Site) -> None:
    assert site.client.get("/security", headers={"Accept": "*/*"}).text == TEXT
    page = site.client.get("/security", headers={"Accept": "text/html"}).text
    assert page.count("<h1>") == 1
    assert page.count("<h2>") == TEXT.count("\n## ")
    assert page.count("<table>") == 2
    assert "| tier |" not in page
    assert "ARCHITECTURE.md" in page
    assert 'href="ARCHITECTURE.md"' not in page
