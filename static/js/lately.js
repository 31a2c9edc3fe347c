// Not more often than there is a use for.

const APART_MS = 100;

/** Calls at once, then at most every APART_MS, always with the latest: a run of thousands of steps must not hold up typing. */
export function lately(call) {
  let timer = null;
  let latest = null;
  return (value) => {
    latest = value;
    if (timer) return;
    call(value);
    timer = setTimeout(() => {
      timer = null;
      if (latest !== value) call(latest);
    }, APART_MS);
  };
}
