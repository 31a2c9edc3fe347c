"""What the tests of limits share: `edge`, which marks the test that meets one exactly,
and workflows that come to one.
"""

import functools
from collections.abc import Callable
from typing import Any

EDGES: dict[str, list[str]] = {}  # the tests of each limit, by setting
IN_A_STEP = """\
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("it", config={{"retries": {{"limit": 0, "delay": 0}}}})
        async def it():
            {body}

        return await it()
"""


def edge(setting: str, *words: str) -> Callable[[Callable[..., str]], Callable[..., None]]:
    """A test that meets a limit exactly, then goes one further, and gives what was said then, in which these words must
    be.
    """

    def mark(test: Callable[..., str]) -> Callable[..., None]:
        EDGES.setdefault(setting, []).append(test.__name__)

        @functools.wraps(test)
        def checked(**given: Any) -> None:
            said = test(**given)
            assert [word for word in words if word not in said] == [], said

        return checked

    return mark


def in_a_step(body: str) -> str:
    """A workflow with one step, which does this."""
    return IN_A_STEP.format(body=body)


def in_run(body: str) -> str:
    """A workflow that does this in `run`."""
    return "import asyncio\n" + IN_A_STEP.format(body="pass").replace("return await it()", body)


def refused(answer: Any, status: int, setting: str, *, wait: bool = False) -> str:
    """The message of a refusal, which names the limit's setting and, where one can wait, says for how long."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["setting"] == setting
    assert ("retry-after" in answer.headers) == wait
    if wait:
        assert 1 <= int(answer.headers["retry-after"]) <= 86_400
        assert error["retry_after"] == int(answer.headers["retry-after"])
    return str(error["message"])
