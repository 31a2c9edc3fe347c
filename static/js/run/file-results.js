// The finished steps of a saved run, as a new run begins with them: POST /api/instances takes them as `results`.

const REDACTED = "[REDACTED]";
const MOST = 10_000;
const NO_STEPS = new Set(["patch", "reply"]);

/**
 * Up to the first step that can't be taken over, in the order in which they ended: one that is a run of its own, or whose
 * result the file does not hold. What ended behind it is run again.
 * @param {{rows: object[]}} state the fold of the file's journal
 * @param {object | null | undefined} failed the step whose error ended the run, which would end a new one, too
 * @returns {{results: object[], left: string | null}} `left` is the name of that step
 */
export function resultsOf({ rows }, failed) {
  const ended = (step) => step.parent === null && step.endedAt !== null && !step.returned && step.status !== "cancelled" && !NO_STEPS.has(step.kind);
  const over = rows.filter(ended).sort((a, b) => a.endedSeq - b.endedSeq);
  const results = [];
  for (const step of over) {
    if (step === failed) continue;
    const result = resultOf(step);
    if (!result || results.length === MOST) return { results, left: step.name };
    results.push(result);
  }
  return { results, left: null };
}

function resultOf({ kind, name, count, line, status, output, error, eventType }) {
  const made = { step: { kind, name, count }, ...(line ? { line } : {}) };
  if (kind === "child" || holdsRedacted(output)) return null;
  if (kind === "sleep") return made;
  if (kind === "wait") {
    const type = output?.type ?? eventType?.split(",")[0];
    return { ...made, type, ...(status === "timed_out" ? { error: {} } : { timestamp: output?.timestamp, output: output?.payload ?? null }) };
  }
  return { ...made, ...(error ? { error: { name: error.name, message: error.message } } : { output: output ?? null }) };
}

const holdsRedacted = (value) => {
  if (typeof value === "string") return value.includes(REDACTED);
  return typeof value === "object" && value !== null && Object.values(value).some(holdsRedacted);
};
