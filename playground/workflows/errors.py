"""Errors that more than one room raises or handles: refused operations, each with the code that the API and the library
show, and names and exit codes of failures of a worker.
"""

from typing import Any

# Begins the environment variable of a setting. Without the "_": this text is in workers' memory too, and a test attack
# searches their memory for variables of the server.
VARIABLE_PREFIX = "PLAYGROUND"


class WorkflowError(Exception):
    """An operation was refused; nothing was changed.

    `code` is stable, `message` is for people. `details["setting"]` names the limit that was reached.
    """

    code = "internal"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if details.get("setting"):
            self.name_setting(details["setting"])

    def name_setting(self, setting: str) -> None:
        """Name the setting whose limit was reached, and its variable, since an operator may know it by either."""
        self.details["setting"] = setting
        self.message = f"{self.message} {setting_sentence(setting)}"
        self.args = (self.message,)


def setting_variable(setting: str) -> str:
    """The environment variable of a setting."""
    return f"{VARIABLE_PREFIX}_{setting.upper()}"


def setting_sentence(setting: str) -> str:
    """The sentence that names the setting of a limit, and its variable."""
    return f"The setting is {setting} ({setting_variable(setting)})."


def batch_entry_error(index: int, error: WorkflowError) -> WorkflowError:
    """The error of one entry of a batch, with the number of the entry."""
    error.message = f"Entry {index} of the batch: {error.message}"
    error.args = (error.message,)
    error.details["index"] = index
    return error


class InstanceNotFound(WorkflowError):
    code = "instance.not_found"


class InstanceExpired(InstanceNotFound):
    """The instance existed; it ended, and was removed when its retention was over.

    Its id stays used. `details` have its `status` and `ended_at`.
    """

    code = "instance.expired"

    def __init__(self, id: str, workflow: str, status: str, ended_at: int) -> None:
        message = (
            f'Instance "{id}" ended long ago ({status}) and is not kept any more. Its id stays used, so that nothing '
            "is done twice; take another for a new one."
        )
        super().__init__(message, status=status, ended_at=ended_at)
        self.workflow = workflow


class InstanceAlreadyExists(WorkflowError):
    code = "instance.already_exists"


class InstanceInFiniteState(WorkflowError):
    code = "instance.in_finite_state"


class EventRejected(WorkflowError):
    """The workflow has refused an event; the message is its own."""

    code = "event.rejected"


class PayloadMismatch(WorkflowError):
    """An event's payload does not fit the schema of the wait that it would go to; the wait goes on."""

    code = "event.payload_mismatch"


class WaitOver(WorkflowError):
    """A wait for an event takes no answer: it was answered, has timed out, or its run is paused or has ended."""

    code = "wait.over"


class WaitNotFound(WorkflowError):
    """The instance waits for no event at a step of this name now."""

    code = "wait.not_found"


class LinkInvalid(WorkflowError):
    """A link that no server of this database has made, or that was made with a key that is revoked."""

    code = "link.invalid"


class LinkExpired(WorkflowError):
    """A link to answer a wait has ended."""

    code = "link.expired"


class EventNotAnswered(WorkflowError):
    """The workflow has not replied to an event in time. The event stays with it."""

    code = "event.not_answered"


class CannotFork(WorkflowError):
    """There is no such step to fork from, or it has no result that could be edited."""

    code = "instance.cannot_fork"


class CannotBeATest(WorkflowError):
    """No test can be written from this run; the message says why."""

    code = "instance.cannot_be_a_test"


class CannotTerminate(WorkflowError):
    code = "instance.cannot_terminate"


class CannotRestart(WorkflowError):
    code = "instance.cannot_restart"


class NoWorker(WorkflowError):
    """There is no worker to kill: the instance is queued, paused, finished or sleeps without one."""

    code = "instance.no_worker"


class CannotRunChaos(WorkflowError):
    """The run has no commit to repeat yet, or a chaos run of it is under way."""

    code = "instance.cannot_run_chaos"


class CannotBreak(WorkflowError):
    """The break is invalid, or the instance has as many as it may have."""

    code = "instance.cannot_break"


class CannotContinue(WorkflowError):
    """The instance is not stopped before a step that a result could be given for, or the result is none for it."""

    code = "instance.cannot_continue"


class NothingToWake(WorkflowError):
    """No step of the instance sleeps, waits for a retry or waits for an event now."""

    code = "instance.nothing_to_wake"


class InvalidId(WorkflowError):
    code = "instance.invalid_id"


class InvalidEventType(WorkflowError):
    code = "workflow.invalid_event_type"


class InvalidName(WorkflowError):
    code = "workflow.invalid_name"


class InvalidTag(WorkflowError):
    code = "workflow.invalid_tag"


class InvalidBulk(WorkflowError):
    code = "bulk.invalid"


class BulkNotFound(WorkflowError):
    code = "bulk.not_found"


class BulksFull(WorkflowError):
    code = "bulk.too_many"


class InvalidFilter(WorkflowError):
    code = "filter.invalid"


class InvalidBatch(WorkflowError):
    code = "workflow.invalid_batch"


class TooLarge(WorkflowError):
    """A value, a source or an instance is over its limit; the message names the limit and the actual size."""

    code = "too_large"


class NotSerialisable(WorkflowError):
    """A value can't be stored; the message names the path and the type, as in `$.items[3]: socket`."""

    code = "not_serialisable"


class SourceRefused(WorkflowError):
    """The source has errors; `details["diagnostics"]` lists them."""

    code = "source.refused"


class Busy(WorkflowError):
    """The server is at its limit now; `details["retry_after"]` is in seconds."""

    code = "busy"


class Fenced(WorkflowError):
    """A commit came from an execution that is no longer the instance's current one; nothing was written."""

    code = "instance.fenced"


class NonRetryableError(WorkflowError):
    """Raised by a loader of tenants' code, or by a binding: a retry would fail too."""

    code = "non_retryable"


class MissingDispatcherMetadataError(NonRetryableError):
    """An instance of a dispatcher's workflow was not created by the dispatcher, so its tenant is unknown."""

    code = "dispatcher.metadata_missing"

    def __init__(self) -> None:
        super().__init__(
            "This instance has no dispatcher metadata. Create it with what dispatcher.wrap_binding(metadata) returns."
        )


class InvalidMetadata(WorkflowError):
    """Dispatcher metadata that is not a dict of JSON, or too large."""

    code = "dispatcher.invalid_metadata"


class BindingError(WorkflowError):
    """Raised by a binding for the tenant's code, which receives an error of this name and message, and with those of
    its details that `attributes` names.
    """

    code = "binding.refused"
    attributes: tuple[str, ...] = ()


class AIError(BindingError):
    """A model has given no usable answer; the message says why. Each kind has a class that code may catch."""

    code = "ai.failed"


class AIRateLimitError(AIError):
    """The endpoint takes no more calls now; `details["retry_after"]` is in seconds, where it says so."""

    code = "ai.rate_limited"
    attributes = ("retry_after",)


class AIUnavailableError(AIError):
    """The endpoint could not be reached, failed, was too slow or gave something that is no answer."""

    code = "ai.unavailable"


class AIRequestError(AIError, NonRetryableError):
    """The call can't succeed as it is: its inputs, its model or the endpoint's key."""

    code = "ai.request"


class AIBudgetError(AIRequestError):
    """The call may take more tokens than are left for the run, or for the tenant today."""

    code = "ai.budget"


class MCPError(BindingError):
    """A server of tools has given no usable answer; the message says why. A tool's own error is a result."""

    code = "mcp.failed"


class MCPUnavailableError(MCPError):
    """The server could not be reached, failed, was too slow or gave something that is no answer."""

    code = "mcp.unavailable"


class MCPRequestError(MCPError, NonRetryableError):
    """The call can't succeed as it is: its tool, its arguments or the credentials."""

    code = "mcp.request"


class TenantNotFound(WorkflowError):
    """There is no tenant of this name, or it has deployed nothing yet."""

    code = "tenant.not_found"


class WorkflowNotFound(WorkflowError):
    """The tenant has deployed no workflow of this name."""

    code = "workflow.not_found"


class WorkflowsFull(WorkflowError):
    """The tenant has as many workflows as it may have."""

    code = "workflow.too_many"


class VersionNotFound(WorkflowError):
    """The tenant has no version of this id."""

    code = "version.not_found"


class VersionNeeded(WorkflowError):
    """A version can't be deleted: new instances get it, or unfinished ones run it."""

    code = "version.needed"


class TenantBusy(WorkflowError):
    """A tenant can't be deleted while its instances run; `details` have how many are `unfinished`."""

    code = "tenant.unfinished"


class VersionsFull(WorkflowError):
    """The tenant has as many versions as it may have."""

    code = "version.too_many"


class IncompatibleCode(WorkflowError):
    """The code is incompatible with the instance's history; `details` have the recorded steps, and those that the code
    requested.
    """

    code = "version.does_not_fit"


class CannotMigrate(WorkflowError):
    """The version is incompatible with the instance's history; `details` have the recorded steps that it does not
    request.
    """

    code = "instance.cannot_migrate"


class InvalidLimit(WorkflowError):
    """A workflow's own limit is unknown, or looser than the server's."""

    code = "workflow.invalid_limit"


class InvalidFetch(WorkflowError):
    """The list of hosts that a tenant's code may ask can't be used, or is beyond what the operator allows."""

    code = "fetch.invalid"


class InvalidQueue(WorkflowError):
    """A queue's settings, or a message, can't be used."""

    code = "queue.invalid"


class QueueNotFound(WorkflowError):
    """The tenant has no queue of this name, or the queue has no such dead message."""

    code = "queue.not_found"


class MessagesFull(WorkflowError):
    """The tenant's queues hold as many messages as they may."""

    code = "queue.full"


class InvalidRetention(WorkflowError):
    """A retention has another form, or is too short or longer than the server's."""

    code = "workflow.invalid_retention"


class InvalidSchedule(WorkflowError):
    """A schedule's expression, time zone or policy makes no sense, or it fires too often."""

    code = "schedule.invalid"


class ScheduleNotFound(WorkflowError):
    """The tenant has no schedule of this name."""

    code = "schedule.not_found"


class SchedulesFull(WorkflowError):
    """The tenant has as many schedules as it may have."""

    code = "schedule.too_many"


class InvalidFlow(WorkflowError):
    """What a create asks of its start, or a workflow's limit per key, makes no sense."""

    code = "flow.invalid"


class InvalidService(WorkflowError):
    """A tenant's model or server of tools can't be used, or is beyond what the operator lets tenants set."""

    code = "service.invalid"


class ServiceNotFound(WorkflowError):
    """The tenant has no such model or server of tools."""

    code = "service.not_found"


class InvalidSecret(WorkflowError):
    """A secret's name or value can't be used."""

    code = "secret.invalid"


WORKER_LOST = "WorkerLost"  # the name of an attempt's error when its worker died, which is not the code's failure
# The exit code of a worker that can't go on, since the tenant's code holds all its memory. Code that exits with it by
# itself ends its own instance only.
OUT_OF_MEMORY = 77
