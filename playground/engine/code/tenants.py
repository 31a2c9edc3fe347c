"""Tenants that deploy their code over the API: their named workflows with the versions of each, their instances, and
the bindings that the code finds.

An instance stays on the version that was its workflow's newest when it was created, until somebody migrates it to
another one of the same workflow. Ids of instances are unique in the tenant, whichever workflow they are of.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from playground.engine import operations
from playground.engine.batches import BatchError, batch_entries, batch_errors
from playground.engine.bindings.queues import QUEUE, OwnQueue, bindings_of
from playground.engine.bindings.secrets import SHORTEST
from playground.engine.bindings.workflows import Workflow
from playground.engine.code.compatibility import check_compatible
from playground.engine.code.deployment import check_deployment, limits_of_code
from playground.engine.code.sources import (
    DEFAULT_BINDINGS,
    DEPLOYED,
    HANDLER_BINDINGS,
    Code,
    deployed_workflow,
    is_deployed,
    shown_workflow,
)
from playground.engine.creation import CreateInstance
from playground.engine.engine import Engine
from playground.engine.instances import delete_batch, flow_limits, new_batch, new_instance
from playground.engine.message_queues import MessageQueues
from playground.engine.redaction import Redactor, secret_in_name
from playground.engine.retention import limits_of_deployed
from playground.engine.schedules import Firing
from playground.engine.tenant_fetch import FetchLists
from playground.engine.tenant_services import TenantServices
from playground.engine.workflow_schedules import params_of_schedule, under_firing
from playground.store.protocol import Committed, DeciderWithNeeds, Needs, Snapshot
from playground.store.rows import InstanceRow
from playground.store.schedules import Schedule
from playground.store.tables import (
    MISSING,
    NEEDED,
    NEWEST,
    VERSIONS_FULL,
    WORKFLOWS_FULL,
    NewVersion,
    Version,
)
from playground.workflows import events as ev
from playground.workflows import names
from playground.workflows.errors import (
    CannotMigrate,
    InstanceAlreadyExists,
    InstanceExpired,
    InstanceNotFound,
    InvalidEventType,
    InvalidFlow,
    InvalidId,
    InvalidSecret,
    InvalidTag,
    NonRetryableError,
    TenantBusy,
    TenantNotFound,
    TooLarge,
    VersionNeeded,
    VersionNotFound,
    VersionsFull,
    WorkflowNotFound,
    WorkflowsFull,
    batch_entry_error,
)
from playground.workflows.events import NewEvent
from playground.workflows.flow import Flow, checked_flow, checked_limits, under_limits
from playground.workflows.names import MAIN_WORKFLOW

LISTED = 100  # instances looked at in one go when a tenant is deleted
NOTHING_ASKED: Mapping[str, Any] = {}
NAMED = 10  # workflows named in one message
SECRETS_MOST = 100
SECRET_BYTES = 16 * 1024

_SECRET_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}\Z")


class Tenants:
    """Everything about tenants but their keys. One for an engine, made right after it is open."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store.tenants
        self.fetch = FetchLists(engine.store.services, engine.settings)
        self.services = TenantServices(engine.store, engine.settings)
        self.queues = MessageQueues(
            engine, lambda tenant, workflow, settings, trigger: self.template(tenant, "", trigger, workflow)
        )
        engine.register(DEPLOYED, self)
        engine.schedules.register(DEPLOYED, self._start_scheduled)
        engine.add_own(QUEUE, lambda row: OwnQueue(self.queues, row))

    async def load(self, row: InstanceRow) -> Code:
        """See `CodeSource`."""
        version = await self._store.version(row.tenant, row.snippet)
        if version is None:
            version = await self._edited_version(row)
        code = await self._code(row.tenant, version)
        if not names.is_handler(row.class_name):
            return code
        return dataclasses.replace(
            code, class_name=names.handler_class(code.class_name), env={**code.env, **HANDLER_BINDINGS}
        )

    async def _start_scheduled(self, schedule: Schedule, firing: Firing) -> str:
        """Create the instance of a schedule's firing, of the newest version of its workflow; returns its id."""
        template = await self.template(schedule.tenant, workflow=shown_workflow(schedule.workflow))
        new = new_instance(template, self._days, None, params_of_schedule(schedule))
        return (await self._engine.create(under_firing(new, firing))).id

    async def _edited_version(self, row: InstanceRow) -> Version:
        """The code of an instance that runs other code than was deployed: a fork of edited code, or one whose code was
        changed.
        """
        snippet = await self._engine.store.snippet(row.snippet)
        if snippet is None:
            raise NonRetryableError(
                f"Tenant {row.tenant} has no version {row.snippet} any more: it was deleted. Start a run of another "
                "version instead."
            )
        workflow = shown_workflow(row.workflow)
        return Version(0, snippet.id, snippet.source, row.class_name, snippet.created_at, workflow=workflow)

    async def _code(self, tenant: str, version: Version) -> Code:
        fetch = await self.fetch.bindings(tenant, await self._store.secrets(tenant))
        env = {
            **DEFAULT_BINDINGS,
            **bindings_of(self.queues, tenant),
            **fetch,
            **await self.services.bindings(tenant, fetch["SECRETS"]),
            "WORKFLOWS": self.workflow(tenant, version.workflow),
        }
        limits = limits_of_code(self._engine.settings, version.limits)
        return Code(version.source, version.class_name, env, limits, version.id, version.warm)

    # Code.

    async def deploy(self, tenant: str, new: NewVersion) -> tuple[Version, bool]:
        """Make code, which has been checked, the newest version of its workflow. Gives it, and whether it is new.

        Raises:
            InvalidName, InvalidLimit: see `check_deployment`.
            VersionsFull: the tenant has as many as it may, and its unfinished instances need each of them.
            WorkflowsFull: the tenant has as many workflows as it may, and none of this name.
        """
        check_deployment(self._engine.settings, tenant, new)
        most, workflows_most = self._engine.settings.versions_per_tenant, self._engine.settings.workflows_per_tenant
        now = self._engine.clock.now()
        deployed = await self._store.deploy(tenant, new, at=now, most=most, workflows_most=workflows_most)
        if deployed == WORKFLOWS_FULL:
            raise WorkflowsFull(
                f"Tenant {tenant} has {workflows_most:,} workflows, which is the most. Deploy under a name that there "
                "is, or delete the versions of a workflow that nothing needs any more.",
                setting="workflows_per_tenant",
            )
        if deployed == VERSIONS_FULL:
            raise VersionsFull(
                f"Tenant {tenant} has {most:,} versions, which is the most, and unfinished runs need them all. End "
                "some, or move them to the newest version; then the oldest versions that nothing needs go by "
                "themselves.",
                setting="versions_per_tenant",
            )
        assert isinstance(deployed, tuple), "the outcomes that change nothing are dealt with"
        return deployed

    async def delete_version(self, tenant: str, id: str) -> None:
        """Remove a version for good. A finished instance of it can be looked at as before, and not be run again.

        With its only version, a workflow is gone.

        Raises:
            VersionNotFound: the tenant has none of this id.
            VersionNeeded: it is the newest of several, or an unfinished instance needs it.
        """
        became = await self._store.delete_version(tenant, id)
        if became == MISSING:
            raise _no_version(id)
        if became == NEWEST:
            raise VersionNeeded(
                f'Version "{id}" is the newest, which new runs get. Deploy another first, or delete the older ones.'
            )
        if became == NEEDED:
            raise VersionNeeded(f'Unfinished runs need version "{id}". End them, or move them to another version.')

    async def version(self, tenant: str, id: str = "", workflow: str | None = None) -> Version:
        """A version of a tenant; without an id the newest of a workflow.

        Args:
            workflow: whose version it is; None: of whichever, and without an id of the main one.

        Raises:
            VersionNotFound: there is none of this id, or it is another workflow's.
            WorkflowNotFound: the tenant has no workflow of this name.
            TenantNotFound: the tenant has none at all.
        """
        if id:
            found = await self._store.version(tenant, id)
            if found is None:
                raise _no_version(id)
            if workflow is not None and found.workflow != workflow:
                raise VersionNotFound(
                    f'Version "{id[:60]}" is of the workflow "{found.workflow}", not of "{workflow[:80]}".'
                )
            return found
        name = MAIN_WORKFLOW if workflow is None else workflow
        found = await self._store.newest_version(tenant, name)
        if found is None:
            there = [it.workflow for it in await self._store.workflows(tenant)]
            if not there:
                raise TenantNotFound("Nothing has been deployed for this tenant yet; PUT its workflow first.")
            raise WorkflowNotFound(
                f'This tenant has no workflow "{name[:80]}"; it has {", ".join(there[:NAMED])}'
                f"{f' and {len(there) - NAMED} more' if len(there) > NAMED else ''}."
            )
        return found

    async def workflows(self, tenant: str) -> Sequence[Version]:
        """The newest version of each workflow, by the workflows' names, without their source."""
        return await self._store.workflows(tenant)

    async def versions(
        self, tenant: str, before: int | None, limit: int, workflow: str = MAIN_WORKFLOW
    ) -> Sequence[Version]:
        """Versions of a workflow, newest first, those with a number under `before`."""
        return await self._store.versions(tenant, workflow, before=before, limit=limit)

    # Instances.

    def workflow(self, tenant: str, name: str = MAIN_WORKFLOW) -> Workflow:
        """The tenant's instances, as its own code may handle them; new ones are of the workflow of this name."""
        return _Deployed(self._engine, tenant, self, name)

    async def template(
        self,
        tenant: str,
        version: str = "",
        trigger: str | Mapping[str, Any] = "api",
        workflow: str | None = None,
    ) -> CreateInstance:
        """What a new instance of a tenant is. Raises as `version`."""
        found = await self.version(tenant, version, workflow)
        metadata = {"tenant": tenant}
        return CreateInstance(
            None,
            tenant=tenant,
            workflow=deployed_workflow(found.workflow),
            class_name=found.class_name,
            metadata=metadata,
            version=found.id,
            trigger=trigger,
            limits=limits_of_deployed(found.retention) or None,
            flow=under_limits(checked_limits(found.limits)),
        )

    async def create(
        self,
        tenant: str,
        params: Any = None,
        id: str | None = None,
        version: str = "",
        trigger: str = "api",
        workflow: str | None = None,
        retention: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
    ) -> InstanceRow:
        """Create an instance.

        Raises as `Engine.create`, and as `version`; InvalidId when the id holds a secret of the tenant's.
        """
        row, _ = await self.create_or_find(tenant, params, id, version, trigger, workflow, retention, tags=tags)
        return row

    async def create_or_find(
        self,
        tenant: str,
        params: Any = None,
        id: str | None = None,
        version: str = "",
        trigger: str | Mapping[str, Any] = "api",
        workflow: str | None = None,
        retention: Mapping[str, Any] | None = None,
        asked: Mapping[str, Any] = NOTHING_ASKED,
        tags: Sequence[str] = (),
        traceparent: str | None = None,
    ) -> tuple[InstanceRow, bool]:
        """As `create`, with what is asked of the start (workflows/flow.py); also says whether it was created.

        Raises InvalidFlow too, also when the key holds a secret of the tenant's, and InvalidTag.
        """
        if id is not None and await self._hides(tenant, id):
            raise InvalidId(secret_in_name("An instance's id"))
        template = await self.template(tenant, version, trigger, workflow)
        flow = checked_flow(**asked, of_workflow=flow_limits(template))
        await self._check_key(tenant, flow)
        await self._check_tags(tenant, tags)
        new = new_instance(template, self._days, id, params, retention, tags)
        return await self._engine.create_or_find(replace(new, flow=flow, traceparent=traceparent))

    async def _check_key(self, tenant: str, flow: Flow | None) -> None:
        if flow is not None and flow.key is not None and await self._hides(tenant, flow.key):
            raise InvalidFlow(secret_in_name("A key"))

    async def _check_tags(self, tenant: str, tags: Sequence[str]) -> None:
        if tags and await self._hides(tenant, *map(str, tags)):
            raise InvalidTag(secret_in_name("A tag"))

    async def create_batch(
        self,
        tenant: str,
        batch: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        version: str = "",
        workflow: str | None = None,
        traceparent: str | None = None,
    ) -> tuple[list[InstanceRow], list[BatchError]]:
        """Create 1 to 100 instances, in one of the forms of engine/batches.py. Raises InvalidBatch, and as `create`."""
        template = replace(await self.template(tenant, version, workflow=workflow), traceparent=traceparent)
        entries = batch_entries(batch)
        ids = {index: str(entry["id"]) for index, entry in enumerate(entries) if entry.get("id") is not None}
        if await self._hides(tenant, *ids.values()):
            for index, id in ids.items():
                if await self._hides(tenant, id):
                    raise batch_entry_error(index, InvalidId(secret_in_name("An instance's id")))
        new = new_batch(template, self._days, entries)
        for index, one in enumerate(new):
            try:
                await self._check_key(tenant, one.flow)
                await self._check_tags(tenant, one.tags)
            except (InvalidFlow, InvalidTag) as refusal:
                raise batch_entry_error(index, refusal) from None
        created, refused = await self._engine.create_batch(new)
        return created, batch_errors([ids.get(index) for index in range(len(entries))], refused)

    async def delete_batch(self, tenant: str, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Remove 1 to 100 instances of a tenant, whatever they do; says of each id what became of it.

        Raises InvalidBatch.
        """
        return await delete_batch(self._engine, tenant, ids, lambda _: True)

    @property
    def _days(self) -> int:
        return self._engine.settings.retention_days

    async def create_once(self, tenant: str, params: Any, id: str, trigger: str) -> tuple[str, str]:
        """Create an instance unless there is, or was, one of this id already.

        Gives its id and its status. Raises as `create`.
        """
        try:
            row = await self.create(tenant, params, id, trigger=trigger)
        except InstanceAlreadyExists:
            try:
                row = await self._engine.store.find(tenant, id)
            except InstanceExpired as expired:
                return id, expired.details["status"]
        return row.id, row.status

    async def send_event(
        self, row: InstanceRow, type: str, payload: Any = None, *, by: Mapping[str, Any] | None = None
    ) -> Committed:
        """Send an event.

        Raises as `Engine.send_event`, and InvalidEventType when the type holds a secret of the tenant's.
        """
        if await self._hides(row.tenant, type):
            raise InvalidEventType(secret_in_name("An event's type"))
        return await self._engine.send_event(row, type, payload, by=by)

    async def migrate(self, row: InstanceRow, version: str, *, force: bool = False) -> Committed:
        """Let an instance go on with another version of its workflow.

        Open attempts are lost, as by a kill; `force` leaves out the dry run.

        Raises:
            CannotMigrate: it has ended, or the version does not fit its history.
            InstanceNotFound, VersionNotFound, Busy
        """
        tenant, id = row.tenant, row.id
        if not is_deployed(row.workflow):
            raise CannotMigrate(f'Instance "{id}" was not made from a deployed version.')
        target = await self.version(tenant, version, shown_workflow(row.workflow))
        history = await self._engine.store.load(row.key)
        if not force:
            check_compatible(id, target, await self._engine.dry_run(await self._code(tenant, target), history))

        def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
            row = snapshot.row
            if row.status in ev.FINAL_STATUSES:
                raise CannotMigrate(f'Instance "{id}" has ended ({row.status}); there is nothing left to run.')
            if snapshot.keys is not None and not snapshot.keys <= history.steps.keys():
                raise CannotMigrate(
                    f'Instance "{id}" has gone on while the version was tried. Pause it first, or try again.'
                )
            if row.snippet == target.id:
                return []
            moved = NewEvent(ev.WORKFLOW_MIGRATED, {"from": row.snippet, "to": target.id})
            return [*operations.evict(snapshot), moved]

        return await self._engine.operate(row, DeciderWithNeeds(decide, Needs(keys=not force)))

    # The end of a tenant.

    async def delete(self, tenant: str, *, end: bool = False) -> int:
        """Remove a tenant with everything it has: keys, trigger, code, instances, secrets, keys and values.

        Gives how many instances there were.

        Its keys and code go first, so that nothing new begins meanwhile; broken off, it can be done again. Its name may
        be taken by another afterwards.

        Args:
            end: end the instances that are not finished.

        Raises:
            TenantNotFound: there is none of this name.
            TenantBusy: instances are not finished, and are not to be ended.
        """
        store = self._engine.store
        if await self._store.tenant(tenant) is None:
            raise TenantNotFound(f'There is no tenant "{tenant}".')
        counts = await store.count(tenant=tenant)
        unfinished = sum(n for status, n in counts.items() if status not in ev.FINAL_STATUSES)
        if unfinished and not end:
            raise TenantBusy(
                f"{unfinished:,} runs of tenant {tenant} are not finished. End them first, or ask for `end=true`, "
                "which ends them now.",
                unfinished=unfinished,
            )
        await self._store.close(tenant)
        removed = 0
        while True:
            removed += (ended := await store.delete_ended(tenant))
            rows = await store.list(tenant, limit=LISTED)
            if not rows and not ended:
                break
            for row in rows:
                if row.status not in ev.FINAL_STATUSES:
                    with suppress(InstanceNotFound):
                        await self._engine.delete(row)
                        removed += 1
        await self._store.remove(tenant)
        return removed

    # Secrets.

    async def set_secret(self, tenant: str, name: str, value: str) -> None:
        """Set a secret that the tenant's code may read from its next execution on. Raises InvalidSecret, TooLarge."""
        if not _SECRET_NAME.match(name):
            raise InvalidSecret("A secret's name takes 1 to 100 letters, digits and _, beginning with a letter.")
        if len(value) < SHORTEST:
            raise InvalidSecret(
                f"A secret takes at least {SHORTEST} characters: a shorter one could not be redacted without blotting "
                "out text."
            )
        if len(value.encode()) > SECRET_BYTES:
            raise TooLarge(f"A secret takes at most {SECRET_BYTES:,} bytes.")
        if not await self._store.set_secret(tenant, name, value, most=SECRETS_MOST):
            raise InvalidSecret(f"A tenant has at most {SECRETS_MOST} secrets.")

    async def remove_secret(self, tenant: str, name: str) -> None:
        """Remove a secret; one that is not there is no error."""
        await self._store.set_secret(tenant, name, None)

    async def _hides(self, tenant: str, *texts: str) -> bool:
        """Whether one of these texts holds a secret of the tenant's."""
        if not texts:
            return False
        redactor = Redactor((await self._store.secrets(tenant)).values())
        return any(redactor.contains_secret(text) for text in texts)

    async def secret_names(self, tenant: str) -> list[str]:
        """The names of a tenant's secrets. Only its code receives their values."""
        return await self._store.secret_names(tenant)


class _Deployed(Workflow):
    """A tenant's workflow, whose new instances get the version that is the newest by then. It finds the instances of
    all workflows of the tenant.
    """

    def __init__(self, engine: Engine, tenant: str, tenants: Tenants, name: str) -> None:
        super().__init__(engine, tenant, deployed_workflow(name), {"tenant": tenant})
        self._tenants = tenants

    def named(self, workflow: str) -> Workflow:
        """See `Instances`."""
        return self._tenants.workflow(self.tenant, names.check_name(workflow, "workflow"))

    def has(self, workflow: str) -> bool:
        """See `Instances`."""
        return is_deployed(workflow)

    async def template(self) -> CreateInstance:
        """See `Workflow`."""
        return await self._tenants.template(self.tenant, trigger="binding", workflow=shown_workflow(self.name))


def _no_version(id: str) -> VersionNotFound:
    return VersionNotFound(f'There is no version "{id[:60]}" of this tenant.')
