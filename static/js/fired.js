// Fired by: code that reads `event.schedule` may be tried out as the next firing of a cron expression. The field is there once the code
// says "schedule"; empty, a run is one that somebody has started by hand.

const MENTIONS = /\bschedule\b/;

/** @param {{schedule: string | null}} how  the expression of the example, if it has one */
export function makeFired({ schedule }) {
  const row = document.getElementById("fired");
  const field = document.getElementById("fired-by");
  if (schedule) field.value ||= schedule;
  return {
    /** Shows the field for this code, or hides it. */
    look: (source) => void (row.hidden = !MENTIONS.test(source)),
    /** The expression, or null where there is none, or no field for one. */
    cron: () => (row.hidden ? null : field.value.trim() || null),
  };
}
