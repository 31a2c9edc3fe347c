// One plain sentence about what last mattered. Pure: a state in, {icon, tone, parts, lens?, press?} out; `press` is what a task asks for.
// A part is a string, or {code}, {b}, {line}, or {tick}: a number that moves and is not read aloud each time. None counts down: the row does.

import { lowered, spoken } from "../spoken.js";
import { INJECTED, isBroken } from "./breaks.js";
import { alive, blamed, isLost, lives, typesText } from "./fold.js";
import { verb } from "./ledger.js";
import { planned, skippedWaits } from "./skipped.js";
import { attemptOf, setback } from "./setback.js";
import { canTry } from "./tasks.js";
import { count, errorBrief, lasting, moment, pathLabel, short } from "./words.js";

const FRESH_MS = 6_000; // how long a resumed execution is the news

const NAME = 60; // characters of a step's name that a sentence bears
const PARENT = 16; // … and of the name of one that it was called in
const MESSAGE = 200; // … and of an error's message

const name = (step) => ({ code: short(pathLabel(step, PARENT), NAME) });

/**
 * `place` is where a run stands that is held back, as the server says it. `task` is that of a lesson; it is said where it can be done. `hurried` asks for a sentence that stays true while steps come and go faster
 * than can be read.
 */
export function narrate(state, { now, final, stale, watching = false, task = null, doubles = [], hurried = false, place = null }) {
  if (stale) return say("i-journal", "The run goes on without this page. What it commits now will appear here, in order, once.");
  if (final) return ended(state, doubles);
  if (task && !watching && !state.armed && canTry(task, state)) return { icon: "i-hand", tone: "try", press: task.do, parts: ["Try it: ", ...spoken(lowered(task.say))] };
  if (state.rollback === "running") return undoing(state);
  if (state.stoppedBefore) return say("i-pause", state.status === "paused" ? "Paused before " : "Stopping before ", name(state.stoppedBefore), ". Nothing of it has begun.");
  if (state.status === "paused") return say("i-pause", "Paused. Sleeps and waits have stopped with it and keep their remaining time.");
  if (state.status === "waitingForPause") return pausing(state, now);
  if (state.status === "queued") return state.heldUntil === null ? queued(state, place?.text ?? "Waiting for a worker.") : held(state, now, place);
  const resumed = resumption(state, now);
  if (state.status === "waiting") return waiting(state, now, watching) ?? resumed ?? running(state);
  return resumed ?? (hurried ? busy(state) : running(state));
}

/** What a pause waits for: attempts that run come to their end, with what they sleep and wait for inside. */
function pausing(state, now) {
  const open = [...state.open];
  const outer = open.filter((step) => step.status === "running" && !step.parent);
  if (!outer.length) return say("i-pause", "Pausing: what is running finishes first, and nothing new begins.");
  const first = ["Pausing: ", ...listed(outer), outer.length > 1 ? " finish first" : " finishes first"];
  const inner = open.filter((step) => step.parent && step.until !== null).sort((a, b) => b.until - a.until)[0];
  if (!inner) return say("i-pause", ...first, ", and nothing new begins.");
  const until = moment(inner.until, now);
  if (inner.status === "retrying") return say("i-pause", ...first, "; inside, ", name(inner), ` is tried again at ${until}.`);
  if (inner.status === "waiting") return say("i-pause", ...first, "; inside, ", name(inner), " waits for the event ", { code: typesText(inner) }, `, until ${until}.`);
  return say("i-pause", ...first, "; inside, ", name(inner), ` sleeps until ${until}.`);
}

/** What a sentence rests on: it may be left standing for a while when words change, never when this does. */
export function groundsOf(state, { press = "", past, stale, final }) {
  const open = [...state.open].map((step) => `${step.key}/${step.status}/${step.attempts.length}`);
  return JSON.stringify([state.status, state.generation, state.rollback, Boolean(past), Boolean(stale), Boolean(final), state.inExecution, press, ...open]);
}

const say = (icon, ...parts) => ({ icon, tone: "", parts });

/** What may not start yet: see playground/workflows/flow.py. */
function held(state, now, place) {
  const { key, concurrency_per_key: most, rate, debounce } = state.flow ?? {};
  if (state.heldUntil > now) return say("i-clock", `Starts at ${moment(state.heldUntil, now)}`, debounce ? ", or later if it is asked for again before." : ".");
  if (place?.text) return say("i-clock", place.text);
  const limits = [most && `concurrency ${most}`, rate && `${count(rate.count, "start")} in ${lasting(rate.seconds * 1000)}`].filter(Boolean);
  return limits.length ? say("i-clock", `Waits for its turn: ${limits.join(", ")} for key `, { code: short(key, NAME) }, ".") : say("i-clock", "Waiting for a worker.");
}

/** `waits`: for whom, as the server says it once that takes long. */
function queued(state, waits) {
  const last = state.executions[state.executions.length - 1];
  const recoded = state.codeChanges.at(-1);
  if (recoded && recoded.seq > (last?.startedSeq ?? 0)) return say("i-restart", { b: "The code has changed." }, " The next execution reads what finished from the journal and goes on with the edited code.");
  if (!last && state.trigger?.kind === "fork") return say("i-fork", ...forked(state), waits);
  if (!last || last.generation !== state.generation) return say("i-clock", state.generation > 1 ? `Restarted from the beginning. ${waits}` : waits);
  if (last.cut) {
    const lost = [...state.open].filter((step) => step.kind === "do");
    const how = { killed: "was killed", crashed: "crashed", evicted: "was taken away", lost: "went down with the server" }[last.reason] ?? "is gone";
    return say("i-cut", { b: `The worker ${how}` }, lost.length ? " in the middle of " : ". ", ...(lost.length ? [...listed(lost), ". "] : []), "The journal is not: a new worker continues from it.");
  }
  return say("i-clock", `Its time has come. ${waits}`);
}

function resumption(state, now) {
  const execution = alive(state) ?? state.executions[state.executions.length - 1];
  if (!execution || execution.generation !== state.generation || (lives(state)[0] === execution && !copies(state))) return null;
  if (now - execution.startedAt > FRESH_MS && alive(state)) return null;
  const took = execution.firstAt !== null ? ` in ${lasting(Math.max(1, execution.firstAt - execution.startedAt))}` : "";
  const read = execution.replayed ? `${count(execution.replayed, "step")} read from the journal${took}` : "nothing to read from the journal yet, so it begins at the top";
  const before = state.executions[state.executions.indexOf(execution) - 1];
  const edited = before && state.codeChanges.some(({ seq }) => seq > before.startedSeq && seq < execution.startedSeq) ? ", on the edited code" : "";
  const parts = [{ b: `Execution ${execution.execution}${edited}:` }, ` ${read}`];
  if (execution.firstStep && execution.replayed) parts.push(", continuing at ", name(execution.firstStep));
  return { ...say("i-cut", ...parts, "."), lens: true };
}

const copies = (state) => state.rows.filter((step) => step.copied).length;

function forked(state) {
  const copied = copies(state);
  const at = state.trigger.step ? [" at ", name(state.trigger.step)] : [];
  return ["A fork", ...at, copied ? `: ${count(copied, "finished step")} copied, not run. ` : ", from the top. "];
}

function waiting(state, now, watching) {
  const open = [...state.open];
  const retrying = open.filter((step) => step.status === "retrying").sort((a, b) => a.until - b.until)[0];
  if (retrying) return retry(retrying, now);
  const held = alive(state) ? "" : " Nothing runs meanwhile: no process, no memory, one row with a due time.";
  const waits = open.filter((step) => step.status === "waiting");
  const sleeps = open.filter((step) => step.status === "sleeping");
  const runs = waits.filter((step) => step.kind === "child");
  if (runs.length && runs.length === waits.length) {
    const whom = runs.length > 1 ? `${count(runs.length, "run")} that this one has started` : "the run that it has started";
    return say("i-waiting", ...listed(runs.slice(0, 1)), runs.length > 1 ? " and others wait for " : " waits for ", whom, ".", held && " Nothing runs here meanwhile: no process, no memory, one row.");
  }
  if (waits.length) {
    const first = waits.find((step) => step.kind === "wait");
    const events = waits.length - runs.length;
    const whom = events > 1 ? `${count(events, "event")}, the first of type ` : "the event ";
    const parts = [...listed([first]), waits.length > 1 ? " and others wait for " : " waits for ", whom, { code: typesText(first) }, `, until ${moment(first.until, now)}.`];
    return say("i-waiting", ...parts, held || (watching ? "" : " Send it below."));
  }
  if (sleeps.length) {
    const first = sleeps.sort((a, b) => a.until - b.until)[0];
    return say("i-sleep", name(first), ` sleeps until ${moment(first.until, now)}.`, held);
  }
  return null;
}

function retry(step, now) {
  const found = setback(step);
  if (found) {
    const at = found.line ? [" at ", { line: found.line }] : [];
    const next = step.until > now ? [`The next begins at ${moment(step.until, now)}.`] : ["The next is due."];
    return { icon: "i-failed", tone: "bad", parts: [name(step), " failed", ...at, ": ", { code: short(errorBrief(found.error), MESSAGE) }, `. That was ${attemptOf(found)}. `, ...next] };
  }
  const tried = step.attempts.filter((attempt) => !isLost(attempt));
  const last = tried[tried.length - 1];
  const times = tried.length === 1 ? "once" : tried.length === 2 ? "twice" : `${tried.length} times`;
  const limit = step.config?.retries?.limit;
  const of = Number.isFinite(limit) ? ` of ${limit + 1}` : "";
  const by = last && isBroken(last) ? [` was ${INJECTED[last.injected]}`] : [` failed ${times}: `, { code: short(last?.error?.name ?? "error", NAME) }];
  const parts = [name(step), ...by, `. Attempt ${tried.length + 1}${of} begins at ${moment(step.until, now)}.`];
  return say(last && isBroken(last) ? "i-bolt-on" : "i-retry", ...parts);
}

function running(state) {
  const open = [...state.open].filter((step) => step.status === "running");
  const done = state.rows.filter((step) => step.status === "completed").length;
  if (open.length > 1) return say("i-play", `${open.length} steps run side by side: `, ...listed(open), ".");
  if (open.length === 1) {
    const [step] = open;
    const attempt = step.attempts[step.attempts.length - 1]?.attempt ?? 1;
    const before = done ? [` ${count(done, "step")} committed: ${done === 1 ? "it" : "they"} will not run again.`] : [" Its result is committed to the journal before anything outside your code can see it."];
    const slow = step.attempts[step.attempts.length - 1]?.injected === "slow" ? `, ${INJECTED.slow}` : "";
    return say(slow ? "i-bolt-on" : "i-play", name(step), attempt > 1 ? ` runs${slow}, attempt ${attempt}.` : ` runs${slow}.`, ...before);
  }
  return say("i-play", done ? `Your code runs between steps; ${count(done, "step")} committed.` : "Your code runs; no step has begun yet.");
}

/** Of steps that come and go: true for all of them. */
function busy(state) {
  return say("i-play", "Your code runs, one step after another; ", { tick: count(state.rows.filter((step) => step.status === "completed").length, "step") }, " committed.");
}

function undoing(state) {
  const step = state.rows.find((one) => one.rollback?.status === "running" || one.rollback?.status === "retrying");
  return say("i-restart", "Rolling back, last step first", ...(step ? [": undoing ", name(step)] : []), ".");
}

function ended(state, doubles) {
  const executions = lives(state).length;
  const after = executions > 1 ? ` after ${executions} executions` : "";
  if (state.status === "terminated") return say("i-stop", `Terminated by hand${after}. What had been committed is kept here.`);
  if (state.status === "complete") return { icon: "i-check", tone: "", parts: complete(state, after, doubles) };
  const undone = state.rows.filter((step) => step.rollback?.status === "completed").length;
  const rolled = { complete: ` ${count(undone, "step")} rolled back, the last first.`, errored: " Rolling back failed too." }[state.rollback] ?? "";
  return { icon: "i-failed", tone: "bad", parts: [...errored(state), rolled].filter(Boolean) };
}

function complete(state, after, doubles) {
  const lost = state.rows.filter((step) => step.attempts.some(isLost));
  const failed = state.rows.filter((step) => step.status === "completed" && step.attempts.some((one) => one.error && !isLost(one)));
  const given = state.rows.filter((step) => (step.edited && !step.error) || step.attempts.some((one) => one.done && one.injected === "return"));
  const steps = state.rows.filter((step) => step.kind === "do" && !step.copied).length;
  const copied = copies(state);
  const parts = [`Complete${after}. `];
  if (copied) parts.push(`${count(copied, "step")} ${copied === 1 ? "was" : "were"} copied from the run it was forked from. `);
  if (doubles.length) parts.push(...twice(doubles));
  else if (!steps && copied) parts.push("Besides, only code outside steps ran.");
  else if (!steps) parts.push("It took no steps, so nothing is in the journal but its output.");
  else if (lost.length) {
    const times = lost.reduce((sum, step) => sum + step.attempts.filter(isLost).length, 0);
    parts.push("Every finished step ran once; ", ...listed(lost), ` lost ${times === 1 ? "one attempt" : `${times} attempts`} with ${times === 1 ? "its worker" : "their workers"}.`);
  } else if (failed.length && failed.every((step) => step.attempts.every((one) => !one.error || isBroken(one)))) {
    parts.push(...listed(failed), ` ${failed.length > 1 ? "were" : "was"} made to fail on purpose and succeeded when tried again.`);
  } else if (given.length) parts.push(...listed(given), ` ${given.length > 1 ? "were" : "was"} given ${given.length > 1 ? "results" : "its result"} on purpose, and did not run.`);
  else if (failed.length) parts.push(...listed(failed), ` failed at first and succeeded when tried again.`);
  else parts.push(steps === 1 ? "Its step ran once, and its result is in the journal." : `Each of its ${steps} steps ran once, and its result is in the journal.`);
  const skipped = skippedWaits(state);
  if (skipped.count) parts.push(` ${count(skipped.count, "wait")} of ${planned(skipped.planned)}${skipped.count > 1 ? " in all" : ""} ${skipped.count > 1 ? "were" : "was"} skipped and took ${lasting(skipped.took)}.`);
  return parts;
}

function twice([first, ...more]) {
  const who = first.step ? [{ code: short(first.step, NAME) }] : ["It"];
  const others = more.length ? `, and ${more.length} more ${more.length === 1 ? "effect" : "effects"} happened again` : "";
  const cure = first.key === null ? [" With a ", { code: "key=" }, " the second one would have been recognised."] : [];
  return [...who, " ", { b: `${verb(first.kind)} ${first.word}` }, others, ": the effect is not part of what a step commits.", ...cure];
}

function errored(state) {
  const { error } = state;
  const last = state.executions[state.executions.length - 1];
  if (last?.reason === "limit") return ["The worker broke a limit, so the run ended: ", { code: short(errorBrief(error), MESSAGE).replace(/\.$/, "") }, "."];
  const step = blamed(state);
  const where = error?.line ? [{ line: error.line }] : ["its last line"];
  if (step?.edited) return [name(step), ` was made to ${step.kind === "do" ? "fail" : "time out"} by hand. Nothing caught its error, so the run ended.`];
  if (step?.kind === "do") {
    const tried = step.attempts.filter((attempt) => !isLost(attempt)).length;
    const hurt = step.attempts.filter(isBroken).length;
    if (hurt && hurt === tried) return [name(step), ` was made to fail on purpose${hurt > 1 ? `, ${hurt} times` : ""}. Nothing caught its error, so the run ended.`];
    const times = tried === 1 ? "once and was not tried again" : `${tried} times, its last attempt too`;
    return [name(step), ` failed ${times}. Nothing caught its error, so the run ended.`];
  }
  if (step) return [name(step), " got no event in time. Nothing caught its error, so the run ended."];
  return ["The run stopped at ", ...where, ", outside any step. Nothing is retried there."];
}

/** Up to three names, then how many more. */
function listed(steps) {
  const parts = [];
  const shown = steps.slice(0, steps.length > 3 ? 2 : 3);
  shown.forEach((step, index) => {
    if (index) parts.push(index === shown.length - 1 && shown.length === steps.length ? " and " : ", ");
    parts.push(name(step));
  });
  if (steps.length > shown.length) parts.push(` and ${steps.length - shown.length} more`);
  return parts;
}
