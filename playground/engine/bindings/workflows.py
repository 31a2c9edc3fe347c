"""`env.WORKFLOWS`: tenants' code starts and controls instances of its own tenant, and no others.

The worker makes handles of it (worker/binding_stubs.py); over the channel every call names its instance.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from playground.engine.batches import batch_entries
from playground.engine.bindings.binding import Binding, CallContext, NewChild
from playground.engine.creation import child_of
from playground.engine.instances import Instances, WorkflowInstance
from playground.workflows.errors import InvalidFlow
from playground.workflows.flow import FIELDS
from playground.workflows.names import derived_id
from playground.workflows.tags import TAGS


class Workflows(Binding):
    """The calls behind the handles. Whose instances they reach was decided when the workflow was wrapped.

    An instance created inside a step without an id gets one that belongs to that step, so that a second attempt of the
    step finds the child of the first instead of starting another. (Ours: with random ids a lost attempt leaves a child
    that nobody knows.)
    """

    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def describe(self) -> Mapping[str, Any]:
        """See `Binding`."""
        return {"workflow": True}

    async def create(
        self,
        id: str | None = None,
        params: Any = None,
        workflow: str | None = None,
        retention: Mapping[str, Any] | None = None,
        asked: Mapping[str, Any] | None = None,
        *,
        call: CallContext,
    ) -> str:
        """Start an instance, of the caller's workflow or of the tenant's that is named; returns its id.

        `asked` is when it may start and what it is found by: the other arguments of `Instances.create`.
        """
        flow = _checked_asked(asked)
        call.host.check_name("An instance's id", id)
        call.host.check_name("A key", flow.get("key"))
        instances = self._instances if workflow is None else self._instances.named(workflow)
        traceparent = call.host.traceparent(call.step, call.attempt)
        if id is None and call.step is not None:
            return (await instances.create_once(_child(call), params, retention, traceparent=traceparent, **flow)).id
        return (await instances.create(id, params, retention, traceparent=traceparent, **flow)).id

    async def create_batch(
        self, batch: Sequence[Mapping[str, Any]] | Mapping[str, Any], *, call: CallContext
    ) -> dict[str, Any]:
        """Start 1 to 100 instances; returns ids in the order of the batch, and the entries left out."""
        derived = set()
        entries = []
        for entry in batch_entries(batch):
            call.host.check_name("An instance's id", entry.get("id"))
            if call.step is not None and entry.get("id") is None:
                entry = {**entry, "id": _child(call)}
                derived.add(entry["id"])
            entries.append(entry)
        traceparent = call.host.traceparent(call.step, call.attempt)
        made = await self._instances.create_batch(entries, traceparent=traceparent)
        there = {it.index: it.id for it in made.refused if it.id in derived}  # of an attempt before this one
        refused = [it for it in made.refused if it.index not in there]
        left_out = {it.index for it in refused}
        created = iter(made)
        ids = [there.get(index) or next(created).id for index in range(len(entries)) if index not in left_out]
        return {
            "ids": ids,
            "refused": [{"index": it.index, "id": it.id, "code": it.code} for it in refused],
            "errors": [it.as_json() for it in made.errors if it.index in left_out],
        }

    async def delete_batch(self, ids: Sequence[str]) -> dict[str, Any]:
        """Remove 1 to 100 instances; an instance that removes itself ends with it."""
        return await self._instances.delete_batch(ids)

    async def delete(self, id: str) -> None:
        """Remove an instance; one that removes itself ends with it."""
        await (await self._of(id)).delete()

    async def get(self, id: str) -> str:
        """The id of an instance, if there is one."""
        return (await self._instances.get(id)).id

    async def status(self, id: str) -> dict[str, Any]:
        """The state of an instance."""
        status = await (await self._of(id)).status()
        error = None if status.error is None else dict(status.error)
        return {"status": status.status, "output": status.output, "error": error, "rollback": status.rollback}

    async def pause(self, id: str) -> None:
        """Pause an instance."""
        await (await self._of(id)).pause()

    async def resume(self, id: str) -> None:
        """Let an instance go on."""
        await (await self._of(id)).resume()

    async def terminate(self, id: str, rollback: bool = False) -> None:
        """End an instance."""
        await (await self._of(id)).terminate(rollback=bool(rollback))

    async def restart(self, id: str, from_step: Mapping[str, Any] | None = None) -> None:
        """Run an instance again."""
        await (await self._of(id)).restart(from_step)

    async def send_event(
        self, id: str, type: str, payload: Any = None, reply: bool = False, *, call: CallContext
    ) -> Any:
        """Send an event to an instance; with `reply`, the result is the workflow's reply."""
        call.host.check_name("An event's type", type)
        return await (await self._of(id)).send_event(type, payload, reply=bool(reply))

    async def _of(self, id: str) -> WorkflowInstance:
        return await self._instances.get(id)


class Workflow(Instances, Binding):
    """Creates and finds the instances of one workflow and tenant.

    Get it from `Dispatcher.wrap_binding`; it may stand in `Code.env`.
    """

    def __repr__(self) -> str:
        return f"<Workflow {self.name} of {self.tenant}>"

    def describe(self) -> Mapping[str, Any]:
        """See `Binding`."""
        return self.target().describe()

    async def start_child(self, child: NewChild) -> int:
        """See `ChildStarter`."""
        instances = self if child.workflow is None else self.named(child.workflow)
        return (await self._engine.create(child_of(await instances.template(), child))).key

    def target(self) -> Binding:
        """See `Binding`: tenant code has handles too, so each of its calls names the instance."""
        return Workflows(self)


def _checked_asked(asked: Any) -> dict[str, Any]:
    """What is asked of an instance's start, as keyword arguments. Raises InvalidFlow."""
    if asked is None:
        return {}
    taken = FIELDS | {TAGS}
    if not isinstance(asked, Mapping) or not asked.keys() <= taken:
        raise InvalidFlow(f"create() takes id, params and {', '.join(sorted(taken))}.")
    return {name: value for name, value in asked.items() if name != TAGS or value is not None}


def _child(call: CallContext) -> str:
    """The id of the next child of a step: the same in every attempt of it."""
    assert call.step is not None
    return derived_id(f"{call.idempotency_key}/{call.host.next_number(call.step)}")
