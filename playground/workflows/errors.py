"""Errors that cross a room's wall: those of operations on instances,
each with the code the API and the library show.

What the code that a worker exits with says. A tenant can leave with the same code,
which ends its own instance only.
"""

from typing import Any

# Before the name of a setting's environment variable. Apart from its "_": workers have this text too, and an attack
# looks through their memory for variables of the server.
VARIABLE_PREFIX = "PLAYGROUND"


class WorkflowError(Exception):
    """An operation was refused; nothing was changed.

    `code` is stable, `message` is for people. `details["setting"]` is the limit that was met.
    """

    code = "internal"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if details.get("setting"):
            self.met(details["setting"])

    def met(self, setting: str) -> None:
        """Name the setting whose limit was met, with its variable, since an operator may know it by either."""
        self.details["setting"] = setting
        self.message = f"{self.message} {setting_sentence(setting)}"
        self.args = (self.message,)


def variable_of(setting: str) -> str:
    """The environment variable of a setting."""
    return f"{VARIABLE_PREFIX}_{setting.upper()}"


def setting_sentence(setting: str) -> str:
    """Says which setting a limit is, and which variable."""
    return f"The setting is {setting} ({variable_of(setting)})."


def of_entry(index: int, error: WorkflowError) -> WorkflowError:
    """The refusal of one entry of a batch, which says which."""
    error.message = f"Entry {index} of the batch: {error.message}"
    error.args = (error.message,)
    error.details["index"] = index
    return error


class InstanceNotFound(WorkflowError):
    code = "instance.not_found"


class InstanceExpired(InstanceNotFound):
    """There was such an instance; it ended, and was removed when its time was over.

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


class CannotFork(WorkflowError):
    """There is no such step to fork from, or it has no result that could be edited."""

    code = "instance.cannot_fork"


class CannotTerminate(WorkflowError):
    code = "instance.cannot_terminate"


class CannotRestart(WorkflowError):
    code = "instance.cannot_restart"


class NoWorker(WorkflowError):
    """There is no worker to kill: the instance is queued, asleep without one, paused or finished."""

    code = "instance.no_worker"


class CannotRunChaos(WorkflowError):
    """There is nothing to repeat yet, or it is being repeated."""

    code = "instance.cannot_run_chaos"


class CannotBreak(WorkflowError):
    """A break that makes no sense, or one too many."""

    code = "instance.cannot_break"


class NothingToWake(WorkflowError):
    """Nothing of the instance is asleep, between attempts or waiting for an event now."""

    code = "instance.nothing_to_wake"


class InvalidId(WorkflowError):
    code = "instance.invalid_id"


class InvalidEventType(WorkflowError):
    code = "workflow.invalid_event_type"


class InvalidName(WorkflowError):
    code = "workflow.invalid_name"


class InvalidBatch(WorkflowError):
    code = "workflow.invalid_batch"


class TooLarge(WorkflowError):
    """A value, a source or an instance is over its limit; the message names the limit and the size found."""

    code = "too_large"


class NotSerialisable(WorkflowError):
    """A value can't be stored; the message names the path and the type, as in `$.items[3]: socket`."""

    code = "not_serialisable"


class SourceRefused(WorkflowError):
    """The source has errors; `details["diagnostics"]` lists them."""

    code = "source.refused"


class Busy(WorkflowError):
    """The server has no room now; `details["retry_after"]` is in seconds."""

    code = "busy"


class Fenced(WorkflowError):
    """A commit came from an execution that is no longer the instance's current one; nothing was written."""

    code = "instance.fenced"


class NonRetryableError(WorkflowError):
    """Raised by whoever loads a tenant's code, or by a binding: trying again would be of no use."""

    code = "non_retryable"


class MissingDispatcherMetadataError(NonRetryableError):
    """An instance of a dispatcher's workflow was made past it, so nothing says whose code it runs."""

    code = "dispatcher.metadata_missing"

    def __init__(self) -> None:
        super().__init__(
            "This instance has no dispatcher metadata. Create it through what dispatcher.wrap_binding(metadata) gives."
        )


class InvalidMetadata(WorkflowError):
    """Dispatcher metadata that is not a dict of JSON, or too large."""

    code = "dispatcher.invalid_metadata"


class BindingError(WorkflowError):
    """What a binding tells the tenant's code, which receives it as an error of this name and message."""

    code = "binding.refused"


class TenantNotFound(WorkflowError):
    """There is no tenant of this name, or it has deployed nothing yet."""

    code = "tenant.not_found"


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


class DoesNotFit(WorkflowError):
    """An instance can't go on with other code; `details` have the steps that its history holds, and those that the code
    came to.
    """

    code = "version.does_not_fit"


class CannotMigrate(WorkflowError):
    """An instance can't go on with another version; `details` have the steps of its history that the version does not
    come to.
    """

    code = "instance.cannot_migrate"


class InvalidSecret(WorkflowError):
    """A secret's name or value can't be used."""

    code = "secret.invalid"


WORKER_LOST = "WorkerLost"  # the name of an attempt's error when its worker died, which is no failure of the tenant's
OUT_OF_MEMORY = 77  # the worker could not go on serving: the tenant's code holds all the memory there is
