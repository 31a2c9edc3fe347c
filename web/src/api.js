// The tenant API in one table, for completion, signatures and hovering. tests/test_page_api.py compares it with Python.

// Names of the source are looked up here, so the tables have no prototype: `toString` must not be found.
const table = (entries) => Object.assign(Object.create(null), entries);

const NAME = ["name", "What the step is called in the journal; a stored result is found by it. At most 256 characters, the same in every execution."];
const CONFIG = ["config=None", "`retries` (`limit`, `delay`, `backoff`), `timeout` per attempt, `sensitive`. It is stored when the step starts."];
const ROLLBACK = ["rollback=None", "A function that undoes the step when the run fails later. It gets `ctx`, `error` and `output`; handlers run in reverse order."];
const ROLLBACK_CONFIG = ["rollback_config=None", "The config of the rollback handler, like `config`."];
const KV_KEY = ["key", "1 to 256 characters."];
const STREAM = ["stream", "The stream's name, 1 to 100 letters, digits, `_` and `-`."];
const KEY = ["key=None", "An idempotency key: a second call with the same key returns the first effect and has none of its own."];

/** Calls: `params` are [as written, documentation], "*" among them for what follows by keyword only. */
export const CALLS = table({
  "@step.do": {
    params: [["name=None", `${NAME[1]} By default the function's own name.`], ["*"], ["concurrent=False", "Runs the steps whose results it takes concurrently instead of in order."], CONFIG, ROLLBACK, ROLLBACK_CONFIG],
    doc: "A step. Its result is stored: a later execution reads it from the journal. Await the decorated function, without arguments; each call is a step of its own, with a count. A parameter with the name of another step, or of its function, receives that step's result; `ctx` receives the attempt.",
  },
  "step.do": {
    params: [NAME, ["callback", "The function to run, async or plain. It may take `ctx`."], ["*"], CONFIG, ROLLBACK, ROLLBACK_CONFIG],
    doc: "A step. It runs once and its result is stored: a later execution reads it from the journal. Await it.",
  },
  "step.sleep": {
    params: [NAME, ["duration", 'A text such as `"30 seconds"` or `"1.5 hours"`, up to 365 days. A bare number is milliseconds.']],
    doc: "Sleeps durably. The deadline is stored: after a crash only the rest is waited, and a long sleep needs no process.",
  },
  "step.sleep_until": {
    params: [NAME, ["when", "An aware datetime, or epoch milliseconds. A naive one is UTC."]],
    doc: "Sleeps durably until a point in time. The deadline is stored when the sleep starts and does not move.",
  },
  "step.wait_for_event": {
    params: [NAME, ["event_type", "The type of the events it waits for: 1 to 100 letters, digits, `_` and `-`. Of a list of up to 10 types the first event ends it, and its `type` says which came."], ['timeout="24 hours"', "How long it waits, 1 second to 365 days; then WorkflowTimeoutError."], ["schema=None", 'What the payload has to be, as JSON Schema: `{"type": "boolean"}`. An event that does not fit is refused where it is sent, and the wait goes on. People get a form made from it.']],
    doc: "Waits durably until an event of this type is sent. Returns its `payload`, `timestamp` and `type`. Events that were sent earlier are stored in order.",
  },
  "step.patched": {
    params: [["name", "What the change is called in the journal, at most 256 characters. One name decides once for the whole run."]],
    doc: "Whether this run takes the new way at a change of the code: True in a run that comes here with the new code first, False in one that had already gone past this place without it. Answers at once, not awaited, outside of steps.",
  },
  "step.deprecate_patch": {
    params: [["name", "The name of the patch."]],
    doc: "Stands in the place of `patched` once its old way is removed. Code with it is refused to runs that took the old way. Remove it when no run is left that was created with the code before.",
  },
  "step.tag": {
    params: [["*tags", "Texts of 1 to 100 characters, such as an order's number."]],
    doc: "Gives the run tags, by which it is found in lists. Call it outside of steps; nothing is awaited, and a tag that it has already changes nothing.",
  },
  NonRetryableError: { params: [["message", "The message in the journal."]], doc: "Raise it in a step: the step fails at once, without a retry." },
  fetch: { params: [["resource", "The URL: of a host that is allowed, https unless its rule says http."], ["options=None", "`{method, headers, body, redirect}`, which may stand here by name too."]], doc: "Asks another host, by the server. Returns a response: `status`, `ok`, `headers`, and to be awaited `text()`, `json()`, `bytes()`. Await it in a step; outside it is a step of its own." },
  "FETCH.fetch": { params: [["resource", "The URL: of a host that is allowed, https unless its rule says http."], ["options=None", "`{method, headers, body, redirect}`, which may stand here by name too."]], doc: "The same as `fetch` of `workers`." },
  "EFFECTS.charge": { params: [["amount", "A number."], KEY, ["**details", "More fields of the entry in the ledger."]], doc: "Simulates the charge of a card, and records it in the ledger at once, outside the journal. Returns a receipt: `id`, `at`, `repeated`." },
  "EFFECTS.email": { params: [["to", "An address."], ['subject=""', "Its subject."], KEY, ["**details", "More fields of the entry in the ledger."]], doc: "Simulates a mail, and records it in the ledger. Returns a receipt: `id`, `at`, `repeated`." },
  "EFFECTS.record": { params: [["kind", "One word for the effect."], KEY, ["**details", "The fields of the entry in the ledger."]], doc: "Simulates an effect of any kind, and records it in the ledger." },
  "APPROVALS.link": { params: [["wait", "The name of the wait, which may not have begun."], ['label=""', "Whom it is for; the journal has it with the answer."], ['expires_in="365 days"', "How long it lasts at most, 1 second to 365 days; no longer than the wait."], ["count=1", "Of several waits of this name, which."]], doc: "Makes a link by which somebody without an account answers a wait of this run, once: `url`, `id`, `expires_at`. In a step, which sends it: what a step returns is shown to whoever sees the run." },
  "KV.get": { params: [KV_KEY, ["default=None", "The result when there is no such key."]], doc: "Reads a value. A step sees its own writes." },
  "KV.put": { params: [KV_KEY, ["value", "Anything that can be stored."]], doc: "Writes a value, committed together with the step's result: an attempt that is lost leaves no trace." },
  "KV.delete": { params: [KV_KEY], doc: "Deletes a key, committed together with the step's result." },
  "KV.list": { params: [['prefix=""', "The prefix of the keys; by default all keys."], ["limit=100", "The most keys to return, 1 to 1,000."], ['after=""', "Starts after this key."]], doc: "The keys with a prefix, in order." },
  "STREAMS.append": { params: [STREAM, ["value", "Anything that can be stored."]], doc: "Gives out a value while the step runs: whoever reads the stream has it at once. Returns without waiting. An attempt that is tried again begins its streams anew." },
  "STREAMS.progress": { params: [["percent", "A number from 0 to 100."], ['text=""', "What is being done."], ['stream="progress"', "The stream's name, 1 to 100 letters, digits, `_` and `-`."]], doc: "Appends how far the step is, which the page draws as a bar in the step's row." },
  "AI.run": { params: [["model", "A model's name: `@playground/echo` and `@playground/script` need no key."], ["inputs=None", "`{prompt}` or `{messages}`, and `tools`, `max_tokens` and more, as OpenAI's API takes them."], ["options=None", "`{stream}`, which may stand here too."], ["*"], ["stream=None", "True appends the answer to the stream `tokens` of the step as it comes; a name takes another stream."]], doc: "Calls a model. Returns `response`, `tool_calls`, `usage` and `message`, which goes on in `messages`. Its tokens count, whatever becomes of the attempt." },
  "AI.models": { params: [], doc: "The names of the models that may be called." },
  "MCP.list_tools": { params: [], doc: "The tools of the server that may be called, each with `name`, `description` and `inputSchema`. A step." },
  "MCP.call_tool": { params: [["name", "The tool's name."], ["arguments=None", "A dict, as its `inputSchema` says."], ["*"], ['timeout="24 hours"', "How long the server may wait for an answer that it asks a person for."], ["config=None", "Config of the steps that ask the server; by default they are not retried."]], doc: "Calls a tool and waits durably for its result: `content`, `structuredContent`, `isError`. Made of steps: a task is looked at again while the run sleeps, and what the server asks for is a wait for an event." },
  "SECRETS.get": { params: [["name", "Its name, as the tenant set it. Without such a secret the error lists the names."]], doc: "A secret of the tenant. The journal shows [REDACTED] instead of it." },
  "SECRETS.names": { params: [], doc: "The names of the tenant's secrets." },
  "QUEUE.send": { params: [["body", "The message, of its content type."], ["options=None", "`{content_type, delay_seconds}`, which may stand here too."], ["content_type=None", "`json` (default), `text`, `bytes`, or `v8` for anything that can be stored."], ["delay_seconds=None", "When it is to be delivered, up to 86,400 seconds from now; by default as the queue has it."]], doc: "Sends a message, committed together with the step's result: an attempt that is lost has sent nothing." },
  "QUEUE.send_batch": { params: [["messages", "Up to 100 of `{body, content_type, delay_seconds}`."], ["options=None", "`{delay_seconds}` of all, which may stand here too."], ["delay_seconds=None", "The delay of those that have none of their own."]], doc: "Sends several messages." },
  "WORKFLOWS.run": {
    params: [["params=None", "Its `event.payload`."], ["*"], ["id=None", "Its id; by default one that belongs to this step."], ["name=None", 'The name of the step; by default the id, or `"child"`.'], ["workflow=None", "Another of the tenant's workflows, by its name; by default the one that runs."], ["cascade=True", "Terminates the child when nobody waits for it any more: its parent has ended, was restarted or has cancelled the call."], ["key=None", "Text that children share; `limits` are of those of one key. Of the page's code: of the same parent."], ["delay=None", "Milliseconds, or a duration, before which it does not start."], ["priority=None", "0 to 100: of those that wait, the highest goes first."], ["limits=None", 'Of its key: `{"concurrency_per_key": 1, "rate": {"count": 10, "seconds": 60}}`, both optional. By default those of its workflow.'], ["tags=()", "Texts that the child is found by."]],
    doc: "Runs a workflow as a child and waits for its end: a step. Returns the child's output, or raises its error. Code of the page runs itself with other params; a tenant's code, the tenant's newest version. Outside of other steps the waiting run needs no process.",
  },
  "WORKFLOWS.create": { params: [["id=None", "Its id; by default a new one, in a step one derived from the step."], ["params=None", "Its `event.payload`."], ["workflow=None", "Another of the tenant's workflows, by its name; by default the one that runs."], ["retention=None", "How long it is kept once it has ended: `{success_retention, error_retention}`, both optional."], ["**asked", "When it may start: `key`, `delay`, `priority`, `singleton`, `debounce`, `limits`; `tags`, by which it is found."]], doc: "Creates an instance of the tenant's workflow and returns its handle." },
  "WORKFLOWS.create_batch": { params: [["batch", "Up to 100 of `{id, params}`, or `{count, params}`."]], doc: "Creates several instances. `errors` of the result lists those that were not created." },
  "WORKFLOWS.delete_batch": { params: [["ids", "Up to 100 ids."]], doc: "Removes several instances and their journals. `deleted` and `errors` of the result have an entry for each id." },
  "WORKFLOWS.get": { params: [["id", "The id it was created with; an error where there is no such instance."]], doc: "A handle of an instance: `id`, `status`, `pause`, `resume`, `terminate`, `restart`, `send_event`, `delete`." },
  "handle.status": { params: [], doc: "Its state: `status`, `output`, `error`, `rollback`." },
  "handle.pause": { params: [], doc: "Starts no new step, stops timers and keeps their remaining time. Attempts that run come to their end first, with what they sleep and wait for inside." },
  "handle.resume": { params: [], doc: "Goes on after a pause." },
  "handle.terminate": { params: [["rollback=False", "Runs the rollback handlers of its steps first."]], doc: "Ends it." },
  "handle.restart": { params: [["from_step=None", '`{"name": …, "count": 1, "kind": "do"}`: steps that started before this one are kept.']], doc: "Runs it again, from the start or from a step." },
  "handle.delete": { params: [], doc: "Removes it and its journal, whatever it does." },
  "handle.send_event": { params: [["type", "The event's type."], ["payload=None", "Its payload."], ["reply=False", "Waits for what it replies with `event.reply(value)`, and returns that; raises what it refuses with `event.reject(message)`."]], doc: "Sends it an event, which a `wait_for_event` of this type takes." },
  "received.reply": { params: [["value=None", "Any value that a step may return."]], doc: "Replies to whoever sent the event and waits for a reply, once the journal has it. The first reply to an event stands; a replay sends nothing." },
  "received.reject": { params: [["message", "Why."]], doc: "Refuses the event: whoever waits for a reply gets an error with this message." },
});

const RETRIES_DEFAULT = '{"limit": 5, "delay": "10 seconds"}';

/** Keys of configs: [initial value, documentation]. */
export const CONFIG_KEYS = table({
  retries: [RETRIES_DEFAULT, "How often and when a failed attempt is retried. `limit` and `delay` are required. Default: 5 retries, the first after 10 seconds, exponential."],
  timeout: ['"10 minutes"', "The longest an attempt may take. Then its task is cancelled and the attempt has failed. Default: 10 minutes."],
  sensitive: ['"output"', "Hides the result in journal, API and page, which show [REDACTED]; the workflow receives it."],
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
    schedule: ["", "What a schedule has started it by: `cron` and `scheduledTime`, in milliseconds; else None."],
  }),
  ctx: table({
    attempt: ["int", "The number of this attempt, from 1."],
    step: ["", "The step's `name` and `count`."],
    config: ["", "The step's config, with defaults filled in."],
  }),
  self: table({ env: ["", "Your bindings, by name."], ctx: ["", "The context of this execution: `execution`, its number from 1."] }),
  env: table({
    EFFECTS: ["", "Simulated side effects, in a ledger that shows which happened, and how often."],
    FETCH: ["", "Asks other hosts, those that are allowed: `fetch(url)`, as `from workers import fetch` does."],
    APPROVALS: ["", "Links by which somebody without an account answers a wait of this run."],
    KV: ["", "Keys and values of this instance, or of the tenant. Committed with the step's result."],
    STREAMS: ["", "Values that a step gives out while it runs: words of an answer, progress. For steps only."],
    AI: ["", "Models: built-in ones, and those of the operator or the tenant."],
    MCP: ["", "The tools of a server: a courier of the playground for code that is run from the page, the tenant's server named `default` for deployed code."],
    MCPS: ["", "All servers of tools of the tenant: `MCPS.get(name)`. For deployed code only, not for code that is run from the page."],
    SECRETS: ["", "A tenant's secrets. For deployed code only, not for code that is run from the page."],
    QUEUE: ["", "The queue of messages named `default`. A run of the page has one of its own, whose messages `queue(batch)` of its own code handles."],
    QUEUES: ["", "All queues of the tenant: `QUEUES.get(name)`. For deployed code only, not for code that is run from the page."],
    WORKFLOWS: ["", "Runs workflows as children and waits for them: `run`. For deployed code it also creates and finds instances of the tenant."],
  }),
  rollback: table({
    ctx: ["", "The attempt of the handler."],
    error: ["", "Why the run failed."],
    output: ["", "The result of the step to undo; None when it did not complete."],
  }),
  delay: table({ ctx: ["", "The attempt that failed."], error: ["", "The error of the attempt."] }),
  received: table({
    payload: ["", "The payload of the event."],
    timestamp: ["datetime", "When it was sent."],
    type: ["str", "The event's type."],
  }),
});

/** Errors that `workers` has besides NonRetryableError, to be caught. */
export const ERRORS = table({
  WorkflowTimeoutError: "An attempt, or a wait for an event, took longer than its timeout.",
  NonRetryableDelayError: "A step's `delay` function failed, took too long or returned an invalid delay. Never retried.",
  WorkflowFatalError: "The workflow broke a rule of the platform: a name, a limit, a value that can't be stored. Never retried.",
  NotSerialisableError: "A value can't be stored; the message names its path and type. A WorkflowFatalError.",
  AIError: "A model has given no usable answer.",
  AIRateLimitError: "The endpoint of a model takes no more calls now; `retry_after` is in seconds. An AIError.",
  AIUnavailableError: "The endpoint of a model could not be reached, failed, was too slow or gave no answer. An AIError.",
  AIRequestError: "A call of a model can't succeed as it is: its inputs, its model or the key. An AIError, never retried.",
  AIBudgetError: "A call of a model may take more tokens than are left. An AIRequestError.",
  MCPError: "A server of tools has given no usable answer.",
  MCPUnavailableError: "A server of tools could not be reached, failed, was too slow or gave no answer. An MCPError.",
  MCPRequestError: "A call of a tool can't succeed as it is: its tool, its arguments or the credentials. An MCPError, never retried.",
  StepError: "A stored error whose own class is no longer in the code.",
  WorkerLost: "An attempt was lost with its worker.",
  InjectedError: "A person made the attempt fail on purpose.",
});

/** Names that stand for themselves. */
export const NAMES = table({
  step: "Makes steps: `do`, `sleep`, `sleep_until`, `wait_for_event`. Their results are stored in the journal; code outside of steps runs again in every execution.",
  event: "The inputs of the instance: `payload`, `timestamp`, `instance_id`, `workflow_name`.",
  WorkflowEntrypoint: "The class a workflow extends. `run(self, event, step)` is called from the top in every execution; what it returns is the output.",
});

export const called = (name) => `${name}(${CALLS[name].params.map(([written]) => written).join(", ")})`;
