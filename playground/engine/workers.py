"""Where an execution's worker comes from: a parked one, the child that checked the source, or a warm one.

The child that has checked a source waits `CHECKED_SECONDS` to run the same source for the same owner, which saves the
fork and the locks of a second one.

Warm workers are for tenants' deployed code that asks for them (`Code(..., warm=True)`). When a workflow has returned
and nothing of it goes on, its worker waits for the next execution of that tenant and that code: for `warm_seconds`,
`warm_executions` times in all, and while its memory has grown by less than `warm_growth_bytes` since its first run.
The module is not run again, so what it keeps in its own variables is seen by later runs of that tenant, as in
Cloudflare's isolates. Anonymous code never gets one, and no worker is given to another tenant or to other code.
"""

from collections.abc import Hashable

from playground.engine.code.sources import Code
from playground.sandbox.kept import KeptWorkers
from playground.sandbox.pool import Sandbox, Worker
from playground.settings import Settings
from playground.store.rows import InstanceRow

MEASURED_EVERY = 8  # executions of a warm worker: to ask the kernel takes 90 us
CHECKED_SECONDS = 2.0
CHECKED_MOST = 4
# Of the processor time that a worker has for its whole life, what a warm one may have used when another run begins.
CPU_SHARE_MOST = 0.5


class Workers:
    """Gives workers to executions, and keeps those that can be used again."""

    def __init__(self, sandbox: Sandbox, settings: Settings) -> None:
        self._sandbox, self._settings = sandbox, settings
        self._checked = KeptWorkers(CHECKED_MOST if sandbox.keeps_workers else 0)
        self._warm = KeptWorkers(settings.warm_workers if sandbox.keeps_workers else 0)

    @property
    def warm(self) -> int:
        """How many warm workers wait now."""
        return len(self._warm)

    @property
    def has_checked(self) -> bool:
        """Whether a child is kept that has checked a source, so that it pays to know the code first."""
        return len(self._checked) > 0

    def may_be_warm(self, row: InstanceRow, code: Code) -> bool:
        """Whether the worker of an execution may wait for another one of the same tenant and code."""
        return code.warm and bool(row.tenant) and self._sandbox.keeps_workers and self._settings.warm_workers > 0

    async def take(self, row: InstanceRow, code: Code | None) -> Worker:
        """A worker for an execution of an instance. `code` is what it will run, where that is known already.

        Raises:
            SandboxDown: see `Sandbox.take_worker`.
        """
        worker = None
        if code is not None and self.may_be_warm(row, code):
            worker = self._warm.take(_warm_key(row, code))
        elif code is not None and not row.tenant:
            worker = self._checked.take((row.queue, code.source, code.class_name))
        return worker or await self._sandbox.take_worker()

    def keep_checked(self, owner: str, source: str, class_name: str, worker: Worker) -> None:
        """Keep a child that has checked a source and found nothing that keeps it from running."""
        worker.executions = 1
        self._checked.keep((owner, source, class_name), worker, CHECKED_SECONDS)

    def keep_warm(self, row: InstanceRow, code: Code, worker: Worker) -> None:
        """Keep a worker whose execution of this code has completed, unless it has served for long enough."""
        assert self.may_be_warm(row, code), "only deployed code that asks for it has warm workers"
        worker.executions += 1
        if worker.executions < self._settings.warm_executions and not self._has_used_much(worker):
            self._warm.keep(_warm_key(row, code), worker, self._settings.warm_seconds)
        else:
            worker.close()

    def close_warm(self, row: InstanceRow, code: Code) -> None:
        """Close the workers that wait for runs of this code: what one run has left behind keeps them from beginning."""
        self._warm.close_of(_warm_key(row, code))

    def _has_used_much(self, worker: Worker) -> bool:
        """Whether a worker has grown, or has used so much of its processor time, that another run might miss it."""
        if (worker.executions - 1) % MEASURED_EVERY:
            return False
        usage = worker.usage()
        if usage is None:
            return True
        if worker.first_resident_bytes is None:
            worker.first_resident_bytes = usage.resident_bytes
        grown = usage.resident_bytes - worker.first_resident_bytes
        most_seconds = self._settings.worker_cpu_seconds * CPU_SHARE_MOST
        return grown > self._settings.warm_growth_bytes or usage.processor_seconds > most_seconds

    def close(self) -> None:
        """Close every kept worker."""
        self._checked.close()
        self._warm.close()


def _warm_key(row: InstanceRow, code: Code) -> Hashable:
    """Whose a warm worker is. The source itself is a part of it, since a program names its versions as it likes."""
    return (row.tenant, row.workflow, code.version, code.class_name, code.source)
