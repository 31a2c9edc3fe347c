"""Workflows written for Cloudflare's Python Workflows run here as they are: fixtures/cloudflare holds one per way to
write them.
"""

import json
from pathlib import Path

import pytest
from aio import run
from run_support import Outcome, Program, run_all

FOLDER = Path(__file__).parent / "fixtures" / "cloudflare"
EXPECTED = json.loads((FOLDER / "expected.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, Outcome]:
    """Every program run to its end, all at once."""
    programs = {
        name: Program(
            (FOLDER / f"{name}.py").read_text("utf-8"), expected.get("params"), dict(expected.get("events", []))
        )
        for name, expected in EXPECTED.items()
    }
    return run(run_all(programs, tmp_path_factory.mktemp("unchanged")))


def test_every_fixture_has_an_expected_end():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_runs_here_unchanged(name, outcomes):
    state = outcomes[name].state
    assert state.error is None
    assert (state.status, state.output) == ("complete", EXPECTED[name]["output"])


def test_a_shared_dependency_runs_once(outcomes):
    started = [event.step.name for event in outcomes["diamond"].journal if event.type == "step_started"]
    assert sorted(started) == ["joined", "left", "right", "source"]
    assert started[0] == "source"


def test_calls_of_one_name_are_counted(outcomes):
    started = [str(event.step) for event in outcomes["loop"].journal if event.type in ("step_started", "sleep_started")]
    assert started == ["square-1", "breathe-1", "square-2", "breathe-2", "square-3", "breathe-3"]
