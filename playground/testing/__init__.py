"""Run a workflow in a test: the real engine, store and worker code, in this process, on a clock that skips every wait.

    async with WorkflowTester(SOURCE) as tester:
        tester.mock_step("charge card", error=ConnectionError("no answer"), times=2)
        run = await tester.create({"amount": 12})
        await run.wait_for_step("approval", status="waiting")
        await run.send_event("approved", {"by": "ada"})
        assert await run.result() == {"charged": 12}

Workflows run in threads of the test's process, with NO isolation: for your own code only. See docs/testing.md.
"""

from playground.worker import api

api.install()  # so that a test's own module can say `from workers import WorkflowEntrypoint`

from playground.testing.mocks import UnusedMock
from playground.testing.run import NothingHappens, ReplayDiverged, Run, ServerCrashed, WorkflowFailed
from playground.testing.tester import WorkflowTester

__all__ = ["NothingHappens", "ReplayDiverged", "Run", "ServerCrashed", "UnusedMock", "WorkflowFailed", "WorkflowTester"]
