// What a tenant may write, in one table: completion, signatures and hovering all read it. tests/test_page_api.py holds it against Python.

// Names that stand in the source are looked up here: what every object has besides, such as `toString`, is none of them.
const table = (entries) => Object.assign(Object.create(null), entries);

const NAME = ["name", "What the step is called in the journal; a stored result is found by it. At most 256 characters, the same in every execution."];
const CONFIG = ["config=None", "`retries` (`limit`, `delay`, `backoff`), `timeout` per attempt, `sensitive`. It is stored when the step starts."];
const ROLLBACK = ["rollback=None", "A function that undoes the step when the run fails later. It gets `ctx`, `error` and `output`; handlers run in reverse order."];
const ROLLBACK_CONFIG = ["rollback_config=None", "The config of the rollback handler, like `config`."];
const KV_KEY = ["key", "1 to 256 characters."];
const KEY = ["key=None", "An idempotency key: asked for again with the same key, the first effect comes back and nothing happens twice."];

/** Calls: `params` are [as written, documentation], "*" among them for what follows by keyword only. */
export const CALLS = table({
  "@step.do": {
    params: [["name=None", `${NAME[1]} The function's own name where none is given.`], ["*"], ["concurrent=False", "Runs the steps it takes results of side by side instead of in order."], CONFIG, ROLLBACK, ROLLBACK_CONFIG],
    doc: "A step. Its result is kept: a later execution reads it from the journal. Await the decorated function, without arguments; each call is a step of its own, told apart by its count. A parameter named like another step, or its function, receives that step's result, `ctx` the attempt.",
  },
  "step.do": {
    params: [NAME, ["callback", "The function to run, async or plain. It may take `ctx`."], ["*"], CONFIG, ROLLBACK, ROLLBACK_CONFIG],
    doc: "A step. It runs once and its result is kept: a later execution reads it from the journal. Await it.",
  },
  "step.sleep": {
    params: [NAME, ["duration", 'A text such as `"30 seconds"` or `"1.5 hours"`, up to 365 days. A bare number is milliseconds.']],
    doc: "Sleeps durably. The deadline is stored: a crash waits only what remains, and a long sleep holds no process.",
  },
  "step.sleep_until": {
    params: [NAME, ["when", "An aware datetime, or epoch milliseconds. A naive one is UTC."]],
    doc: "Sleeps durably until a moment. The deadline is stored when the sleep starts and does not move.",
  },
  "step.wait_for_event": {
    params: [NAME, ["event_type", "Which events are taken: 1 to 100 letters, digits, `_` and `-`."], ['timeout="24 hours"', "How long it waits, 1 second to 365 days; then WorkflowTimeoutError."]],
    doc: "Waits durably until somebody sends an event of this type. Gives its `payload`, `timestamp` and `type`. Events sent earlier are kept in order.",
  },
  NonRetryableError: { params: [["message", "What a person reads in the journal."]], doc: "Raise it in a step: the step fails at once and is not tried again." },
  "EFFECTS.charge": { params: [["amount", "A number."], KEY, ["**details", "Whatever else is to stand in the ledger."]], doc: "Pretends to charge a card, and says so in the ledger. It happens when it is asked for, outside the journal. Gives a receipt: `id`, `at`, `repeated`." },
  "EFFECTS.email": { params: [["to", "An address."], ['subject=""', "What stands in its head."], KEY, ["**details", "Whatever else is to stand in the ledger."]], doc: "Pretends to send a mail, and says so in the ledger. Gives a receipt: `id`, `at`, `repeated`." },
  "EFFECTS.record": { params: [["kind", "One word for what happens."], KEY, ["**details", "What is to stand in the ledger."]], doc: "Pretends an effect of any kind." },
  "KV.get": { params: [KV_KEY, ["default=None", "What is given when there is no such key."]], doc: "Reads a value. In a step, its own writes are seen." },
  "KV.put": { params: [KV_KEY, ["value", "Anything that can be stored."]], doc: "Writes a value, committed together with the step's result: an attempt that is lost leaves no trace." },
  "KV.delete": { params: [KV_KEY], doc: "Deletes a key, committed together with the step's result." },
  "KV.list": { params: [['prefix=""', "What the keys begin with; all of them where none is given."], ["limit=100", "The most keys given, 1 to 1,000."], ['after=""', "Goes on after this key."]], doc: "The keys that begin with a prefix, in order." },
  "SECRETS.get": { params: [["name", "Its name, as the tenant set it. An error that lists those there are, where there is none of this name."]], doc: "A secret of the tenant. The journal shows [REDACTED] wherever it would stand." },
  "SECRETS.names": { params: [], doc: "The names of the tenant's secrets." },
  "WORKFLOWS.create": { params: [["id=None", "Its id; in a step, one that belongs to the step where none is given."], ["params=None", "What its `event.payload` will be."]], doc: "Creates an instance of the tenant's workflow and gives a handle of it." },
  "WORKFLOWS.create_batch": { params: [["batch", "Up to 100 of `{id, params}`."]], doc: "Creates several instances. `refused` lists those left out." },
  "WORKFLOWS.get": { params: [["id", "The id it was created with; an error where there is no such instance."]], doc: "A handle of an instance: `id`, `status`, `pause`, `resume`, `terminate`, `restart`, `send_event`." },
  "handle.status": { params: [], doc: "How it stands: `status`, `output`, `error`, `rollback`." },
  "handle.pause": { params: [], doc: "Starts no new step, stops timers and keeps what remains of them." },
  "handle.resume": { params: [], doc: "Goes on after a pause." },
  "handle.terminate": { params: [["rollback=False", "Runs the rollback handlers of its steps before."]], doc: "Ends it." },
  "handle.restart": { params: [["from_step=None", '`{"name": …, "count": 1, "kind": "do"}`: steps that started before this one are kept.']], doc: "Runs it again, from the start or from a step." },
  "handle.send_event": { params: [["type", "The event's type."], ["payload=None", "What is sent with it."]], doc: "Sends it an event, which a `wait_for_event` of this type takes." },
});

const RETRIES_DEFAULT = '{"limit": 5, "delay": "10 seconds"}';

/** Keys of configs: [value to begin with, documentation]. */
export const CONFIG_KEYS = table({
  retries: [RETRIES_DEFAULT, "How often and how soon a failed attempt is tried again. `limit` and `delay` are required. 5 retries after 10 seconds, exponential, where it is left out."],
  timeout: ['"10 minutes"', "The longest an attempt may take. Then its task is cancelled and it counts as failed. 10 minutes where it is left out."],
  sensitive: ['"output"', "Keeps the result out of journal, API and page, which say [REDACTED]; the workflow has it."],
});
export const RETRY_KEYS = table({
  limit: ["5", "Retries after the first attempt, 0 to 10,000. Attempts lost with their worker do not count."],
  delay: ['"10 seconds"', "The wait before a retry: a duration, or a function of `ctx` and `error` that returns one."],
  backoff: ['"exponential"', "How the delay grows after failed attempt n: `constant` d, `linear` d·n, `exponential` d·2ⁿ⁻¹."],
});
export const VALUES = table({ backoff: ["exponential", "linear", "constant"], sensitive: ["output"] });
export const UNITS = ["second", "minute", "hour", "day", "week", "month", "year"];

/** Members that are values: [type, documentation]. */
export const MEMBERS = table({
  event: table({
    payload: ["", "The params given at creation, a fresh copy in every execution; `{}` when there were none."],
    timestamp: ["datetime", "When the instance was created."],
    instance_id: ["str", "The id of this instance. Good in an idempotency key."],
    workflow_name: ["str", "The workflow's name."],
  }),
  ctx: table({
    attempt: ["int", "The number of this attempt, from 1."],
    step: ["", "The step's `name` and `count`."],
    config: ["", "The step's config, with defaults filled in."],
  }),
  self: table({ env: ["", "Your bindings, by name."], ctx: ["", "The context of this execution: `execution`, its number from 1."] }),
  env: table({
    EFFECTS: ["", "Side effects that are only pretended, in a ledger that shows what really happened, and how often."],
    KV: ["", "Keys and values of this instance, or of the tenant. Written with the step's result."],
    SECRETS: ["", "A tenant's secrets. For deployed code; not there for code that is run from the page."],
    WORKFLOWS: ["", "Creates and finds instances of the tenant. For deployed code; not there for code that is run from the page."],
  }),
  rollback: table({
    ctx: ["", "The attempt of the handler."],
    error: ["", "Why the run failed."],
    output: ["", "The result of the step to undo; None when it did not complete."],
  }),
  delay: table({ ctx: ["", "The attempt that failed."], error: ["", "What it failed with."] }),
  received: table({
    payload: ["", "What was sent with the event."],
    timestamp: ["datetime", "When it was sent."],
    type: ["str", "The event's type."],
  }),
});

/** Errors that `workers` has besides NonRetryableError, to be caught. */
export const ERRORS = table({
  WorkflowTimeoutError: "An attempt, or a wait for an event, took longer than its timeout.",
  NonRetryableDelayError: "A step's `delay` function failed, was late or returned what is no delay. Never retried.",
  WorkflowFatalError: "The workflow broke a rule of the platform: a name, a limit, a value that can't be stored. Never retried.",
  NotSerialisableError: "A value can't be stored; the message names its path and type. A WorkflowFatalError.",
  StepError: "A stored error whose own class is no longer in the code.",
  WorkerLost: "An attempt was lost with its worker.",
  InjectedError: "An attempt was made to fail by whoever watches the run.",
});

/** Names that stand for themselves. */
export const NAMES = table({
  step: "Makes steps: `do`, `sleep`, `sleep_until`, `wait_for_event`. What they give is kept in the journal; code outside of them runs again in every execution.",
  event: "What the instance was created with: `payload`, `timestamp`, `instance_id`, `workflow_name`.",
  WorkflowEntrypoint: "The class a workflow extends. `run(self, event, step)` is called from the top in every execution; what it returns is the output.",
});

export const called = (name) => `${name}(${CALLS[name].params.map(([written]) => written).join(", ")})`;
