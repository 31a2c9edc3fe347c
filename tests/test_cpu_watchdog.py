"""Processor time is an attempt's, not a worker's whole life."""

from aio import run
from run_support import Program, run_all

BURN = """
import time
from workers import WorkflowEntrypoint

def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for number in range(event.payload["steps"]):
            await step.do(f"burn {number}", lambda: burn(event.payload["seconds"]))
        return "burnt"
"""


def test_many_short_attempts_may_use_more_in_all_than_one_may(tmp_path):
    """Given a limit of 1 s and three steps of 0.5 s, expect all of them; given one of 60 s, expect the limit, named
    with its number.
    """
    programs = {"many": Program(BURN, {"steps": 3, "seconds": 0.5}), "one": Program(BURN, {"steps": 1, "seconds": 60})}
    outcomes = run(run_all(programs, tmp_path, attempt_cpu_seconds=1))
    assert outcomes["many"].state.output == "burnt"
    error = outcomes["one"].state.error
    assert error["name"] == "LimitExceeded"
    assert error["message"].startswith('processor time: the worker used more than 1 s while step "burn 0" ran. ')


def test_a_worker_that_uses_up_its_whole_life_s_time_is_ended_by_the_kernel(tmp_path):
    outcomes = run(run_all({"one": Program(BURN, {"steps": 9, "seconds": 0.5})}, tmp_path, worker_cpu_seconds=1))
    assert outcomes["one"].state.error["message"].startswith("processor time: the worker used more than 1 s in all")
