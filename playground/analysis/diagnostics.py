"""The table of the rules of the durable lint, and the types of its findings.

An error prevents the workflow from starting; a warning is a fault that appears in a run or a replay; an info or hint is
neither. A message says what the run or the replay would do, then how to correct it.
"""

from dataclasses import dataclass
from typing import Any

ERROR = "error"
WARNING = "warning"
INFO = "info"
HINT = "hint"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A range of source: lines and columns from 1, columns in characters, the end just after the last one."""

    line: int
    column: int
    end_line: int
    end_column: int

    def as_json(self) -> dict[str, int]:
        return {"line": self.line, "column": self.column, "end_line": self.end_line, "end_column": self.end_column}


@dataclass(frozen=True, slots=True)
class Fix:
    """A mechanical correction: replace the text of `span` by `text`."""

    title: str
    span: Span
    text: str

    def as_json(self) -> dict[str, Any]:
        return {"title": self.title, **self.span.as_json(), "text": self.text}


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of finding. `message` is filled with `str.format`."""

    severity: str
    message: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding at one place."""

    code: str
    severity: str
    message: str
    span: Span
    fix: Fix | None = None

    def as_json(self) -> dict[str, Any]:
        shown = {"severity": self.severity, "code": self.code, "message": self.message, **self.span.as_json()}
        if self.fix is not None:
            shown["fix"] = self.fix.as_json()
        return shown


def report(code: str, span: Span, fix: Fix | None = None, **values: Any) -> Diagnostic:
    """A finding of a rule of the table, its message filled with `values`."""
    rule = RULES[code]
    return Diagnostic(code, rule.severity, rule.message.format(**values), span, fix)


RULES = {
    # syntax.py
    "syntax": Rule(ERROR, "{sentence}"),
    "syntax-warning": Rule(WARNING, "{sentence}"),
    "too-deep": Rule(HINT, "This is nested too deeply to be looked at here; it may still run."),
    "not-analysed": Rule(
        HINT, "The durable lint failed on this source, which is a fault of the playground's; the source may still run."
    ),
    # analysis/rules/entry.py
    "no-workflow": Rule(
        ERROR,
        "There is no class `{name}`, so there is nothing to run. Write `class {name}(WorkflowEntrypoint)` with an "
        "`async def run`.",
    ),
    "several-workflows": Rule(
        ERROR,
        "{names} extend `WorkflowEntrypoint`, so which of them is to run is not known. Name one of them `{name}`, or "
        "deploy with the `class_name` of one.",
    ),
    "no-base": Rule(
        WARNING, "`{name}` does not extend `WorkflowEntrypoint`, which gives it `self.env` and `self.ctx`."
    ),
    "no-run": Rule(
        ERROR, "`{name}` has no `async def run(self, event, step)`, which every execution calls from the top."
    ),
    "run-not-async": Rule(ERROR, "`run` is a plain function and can't await a step. Make it `async def run`."),
    "run-signature": Rule(
        ERROR, "`run` is called with an event and a step and could not take them. Write `run(self, event, step)`."
    ),
    # analysis/rules/unavailable.py
    "undefined-name": Rule(WARNING, "`{name}` is not defined anywhere; reaching this line raises NameError.{cure}"),
    # analysis/rules/unavailable.py
    "no-package": Rule(WARNING, "{what}: this raises `No module named {name}`.{instead}"),
    "not-of-workers": Rule(WARNING, "`workers` has no `{name}` here; reaching this line raises {error}.{cure}"),
    "not-in-workers": Rule(WARNING, "`{call}` can't work here. {advice}"),
    "fetch-option": Rule(
        WARNING, "`fetch` has no option `{name}` here; reaching this line raises TypeError. It takes {there}."
    ),
    "no-binding": Rule(
        INFO,
        "`self.env.{name}` is there only if whoever runs the server adds it: code of the page has `AI`, `APPROVALS`, "
        "`EFFECTS`, `FETCH`, `KV`, `MCP`, `QUEUE`, `STREAMS` and `run` of `WORKFLOWS`, a tenant's has `MCPS`, "
        "`QUEUES`, `SECRETS` and all of `WORKFLOWS` too.{cure}",
    ),
    "named-workflow": Rule(
        INFO,
        "This runs another of the tenant's workflows, which must be deployed under this name by then: "
        "otherwise `run` raises WorkflowNotFound. Code of the page can only name another class of its own.",
    ),
    # analysis/rules/control_flow.py
    "not-awaited": Rule(
        WARNING, "`{call}` is not awaited: the run goes on without it, and {loss}. Put `await` before it."
    ),
    "never-run": Rule(
        WARNING, "The step `{name}` is defined but nothing awaits it, so it never runs. Add `await {name}()`."
    ),
    # analysis/rules/side_effects.py
    "late-variable": Rule(
        WARNING,
        "The step reads `{name}` when it runs, and by then the loop has moved on: all of them may see its last value. "
        "Bind it: `lambda {name}={name}: …`.",
    ),
    # analysis/rules/step_calls.py
    "no-function": Rule(
        WARNING, "`step.do` has no function to run here. Use it as a decorator, or pass one: `step.do(name, function)`."
    ),
    "unknown-method": Rule(WARNING, "`{step}` has no `{name}`; reaching this line raises AttributeError.{cure}"),
    "unknown-argument": Rule(
        WARNING, "`step.{method}` takes no argument `{name}`; reaching this line raises TypeError.{cure}"
    ),
    "options-second": Rule(
        WARNING, "This is JavaScript's order: in Python options come by name, so this raises an error. Write `{form}`."
    ),
    "missing-argument": Rule(WARNING, "`step.{method}` needs {needs}; reaching this line raises TypeError."),
    "step-arguments": Rule(
        WARNING,
        "A decorated step is called without arguments; this raises TypeError. It sees the variables around it, and "
        "results of other steps by parameter name.",
    ),
    "unknown-parameter": Rule(
        WARNING,
        "No step is named `{name}`, so running this one raises `TypeError: Received unexpected parameter {name}`. A "
        "parameter is `ctx`, or another step by its name or its function's.",
    ),
    # analysis/rules/determinism.py
    "time-outside-step": Rule(
        WARNING, "Replay runs this line again and sees another time. Take it inside a step, whose result is stored."
    ),
    "random-outside-step": Rule(
        WARNING, "Replay runs this line again and draws another value. Draw it inside a step, whose result is stored."
    ),
    "id-outside-step": Rule(
        WARNING, "Replay runs this line again and makes another id. Make it inside a step, whose result is stored."
    ),
    "io-outside-step": Rule(
        WARNING, "Replay runs this line again: `{call}` happens anew in every execution. Do it inside a step."
    ),
    "fetch-outside-step": Rule(
        WARNING,
        "Outside of steps a fetch is made a step of its own, named by its method and host, and is not tried again. "
        "Put it inside a step, which has a name of yours and is tried again.",
    ),
    "sleep-outside-step": Rule(
        HINT,
        "This wait is not durable: it keeps its worker, and begins again when that is lost. `step.sleep` keeps "
        "none and waits once.",
    ),
    # analysis/rules/side_effects.py
    "state-in-step": Rule(
        WARNING,
        "A replay does not have this change of `{name}`: it reads the step from the journal and runs nothing, so "
        "line {line} sees it as it was. Return the value from the step, and set `{name}` outside of it.",
    ),
    "global-state": Rule(
        INFO,
        "`{name}` begins anew in every execution: each is a new process that loads the module again, and no other"
        " run sees it. Deployed with `warm`, though, a run may find what an earlier one left here. What must last is"
        ' in a step\'s result or in `self.env.KV`; `ctx["attempt"]` counts the attempts of a step.',
    ),
    # analysis/rules/ordering.py
    "set-order": Rule(
        INFO,
        "Steps are made here in the order of a set: replay finds texts and numbers in the same order, objects in "
        "any other, and another version of Python orders all of them anew. Sort it: `sorted(…)`.",
    ),
    "hash-of-object": Rule(
        INFO,
        "`{call}` is the same in every execution for texts and numbers only: that of an object is made of where "
        "it lies in memory, and replay would take another way. Use a value of it, such as an id of its own.",
    ),
    "id-of-object": Rule(
        WARNING,
        "`{call}` is another number in every execution: it is where an object lies in memory, and replay would "
        "take another way. Use a value of it, such as an id of its own.",
    ),
    # analysis/rules/ordering.py
    "first-come": Rule(
        INFO,
        "`{call}` goes on with the step that is done first: which one differs from run to run, and a replay keeps"
        " to the order of the journal. Where it does not matter, `asyncio.gather` gives all results, in the order"
        " of the calls.",
    ),
    "timeout-around-step": Rule(
        INFO,
        "`{call}` around a step counts while a worker is there, and keeps it from hibernating; a replay gives up "
        "at the same point of the journal.{cure}",
    ),
    # analysis/rules/control_flow.py
    "step-in-step": Rule(
        INFO,
        "A {kind} inside {parent}: it is one of its own, counted there and committed by itself. When {parent} is "
        "tried again it is found done; once {parent} is done, replay runs neither.{more}",
    ),
    "child-in-step": Rule(
        WARNING,
        "A child that runs inside {parent} keeps this run's worker until it has ended, and its time counts for the "
        "attempt; when parents have all workers, no child gets one. Run it outside of steps, where the run waits "
        "without a worker.",
    ),
    # analysis/rules/step_names.py
    "unstable-name": Rule(
        WARNING,
        "A stored result is found by its step's name. Replay computes another name here, finds nothing and runs the "
        "step again. Name it by what it works on.",
    ),
    "duplicate-name": Rule(
        INFO,
        "Line {line} has a {kind} of this name too. They are told apart by call order, as `{name}-1` and `{name}-2`, "
        "in replay too.",
    ),
    "bad-name": Rule(
        WARNING,
        "A step name has 1 to 256 characters and no control characters; this one is refused when the run reaches it.",
    ),
    "bad-event-type": Rule(
        WARNING,
        "An event type has 1 to 100 letters, digits, _ and -, not beginning with -; this one is refused when the run "
        "reaches it.",
    ),
    # analysis/rules/step_names.py
    "invisible-name": Rule(
        WARNING,
        "This name has a character that nobody sees, {what}: `{name}`. A name that looks the same is another "
        "step. Leave it out.",
    ),
    "reordered-source": Rule(
        WARNING,
        "{what} stands here unseen: it makes the line look other than it runs. Leave it out, or write it as an escape.",
    ),
    # analysis/rules/results.py
    "unstorable-result": Rule(
        WARNING, "The result is {what}, which can't be stored: the step fails with `not serialisable`.{cure}"
    ),
    "unstorable-output": Rule(
        WARNING, "The output is {what}, which can't be stored: the run fails with `not serialisable`.{cure}"
    ),
    # analysis/rules/patches.py
    "patch-in-step": Rule(
        WARNING,
        "`{call}` inside a step fails the run: no replay runs the step again to see which way it took. Ask outside of "
        "steps, and use the answer in the step.",
    ),
    "patch-awaited": Rule(
        WARNING, "`{call}` answers at once: awaiting its answer raises TypeError. Remove the `await`."
    ),
    "patch-unused": Rule(
        WARNING,
        "The answer is not used, so that all runs take the same way. Write `if step.patched(…):` with the new way, and "
        "`else:` with the old one; once no run takes the old one, `step.deprecate_patch(…)`.",
    ),
    # analysis/rules/control_flow.py
    "catches-all": Rule(
        WARNING,
        "`{clause}` around steps also catches cancellation, which is how code is stopped, and would go on as if a "
        "step had failed. Catch `Exception`.",
    ),
    # analysis/rules/step_calls.py
    "config": Rule(WARNING, "{sentence} The step is refused and its function never runs."),
    "bad-duration": Rule(WARNING, "{sentence}"),
    "bare-number": Rule(
        HINT,
        "A bare number is milliseconds here: {number} is {meaning}. Cloudflare's Python page says seconds, its runtime "
        "counts milliseconds; a string such as {text} is clear everywhere.",
    ),
    # analysis/rules/only_here.py, only where Cloudflare is asked about
    "only-here-import": Rule(INFO, "Cloudflare's {module} has no `{name}`. {advice}"),
    "only-here-package": Rule(
        INFO,
        "`{name}` is here because the operator of this server added it. On Cloudflare, name its package in "
        "`dependencies` of pyproject.toml; it is there if Pyodide has it, or if it is pure Python.",
    ),
    "only-here-binding": Rule(INFO, "`self.env.{name}` is not the same on Cloudflare. {advice}"),
    "only-here-step": Rule(
        INFO,
        "`step.do` only decorates on Cloudflare: it takes no function, and stands with parentheses. Write `{form}`, "
        "which is the same step here.",
    ),
    "only-here-argument": Rule(INFO, "`step.{method}` takes no {what} on Cloudflare. {advice}"),
    "only-here-method": Rule(INFO, "Cloudflare's `step` has no `{method}`. {advice}"),
    "only-here-parameter": Rule(
        INFO,
        "On Cloudflare a parameter is another step by its name, and the step of the function `{name}` is called {step}."
        " Name the step `{name}`, or leave out its name.",
    ),
    "only-here-value": Rule(
        INFO, "A tuple can't be stored on Cloudflare: returning one raises TypeError. Return a list, `[{items}]`."
    ),
    "only-here-reply": Rule(
        INFO,
        "An event can't be answered on Cloudflare. Keep the answer in a step's result or in a store, where whoever "
        "asked reads it.",
    ),
    "only-here-handler": Rule(
        INFO,
        "On Cloudflare messages of a queue go to `queue` of a `WorkerEntrypoint`, not of a workflow. Move it into "
        "`class Default(WorkerEntrypoint)`, and start the workflow from there.",
    ),
}
