// What this browser keeps for the page. Storage may be refused (private windows) or full: the page then goes on without it.

const PREFIX = "playground.";

export function read(key, otherwise = null) {
  try {
    const text = localStorage.getItem(PREFIX + key);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise;
  }
}

/** False when it could not be kept. */
export function write(key, value) {
  try {
    localStorage.setItem(PREFIX + key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

export function remove(key) {
  try {
    localStorage.removeItem(PREFIX + key);
  } catch {
    // Nothing was kept either.
  }
}

/** The names under which something is kept that begin with `start`. */
export function keysOf(start) {
  try {
    return Object.keys(localStorage).flatMap((key) => (key.startsWith(PREFIX + start) ? [key.slice(PREFIX.length)] : []));
  } catch {
    return [];
  }
}

const newestFirst = (entries) => Object.entries(entries).sort(([, a], [, b]) => (b.at ?? 0) - (a.at ?? 0));

/**
 * Entries by key under one name, of which the newest `most` are kept. Another version of the page, or whatever else has run at this
 * address, may have left something else there: what is no object that `fits` is as good as not there.
 */
export function shelf(name, most, fits) {
  const all = () => Object.fromEntries(Object.entries(read(name) ?? {}).filter(([, entry]) => entry !== null && typeof entry === "object" && fits(entry)));
  return {
    get(key) {
      const kept = all();
      return Object.hasOwn(kept, key) ? kept[key] : null;
    },
    /** `value.at` is its moment where that is another than now. */
    put(key, value) {
      const kept = newestFirst({ ...all(), [key]: { at: Date.now(), ...value } });
      return write(name, Object.fromEntries(kept.slice(0, most)));
    },
    drop(key) {
      const { [key]: _, ...rest } = all();
      write(name, rest);
    },
    /** [key, entry], newest first. */
    entries: () => newestFirst(all()),
    /** Calls when another tab has changed it. */
    onChange: (call) => addEventListener("storage", (event) => event.key === PREFIX + name && call()),
  };
}
