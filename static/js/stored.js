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

/** Entries by key under one name, of which the newest `most` are kept. */
export function shelf(name, most) {
  const all = () => {
    const found = read(name, {});
    return found && typeof found === "object" ? found : {};
  };
  return {
    get: (key) => all()[key] ?? null,
    put(key, value) {
      const entries = Object.entries({ ...all(), [key]: { ...value, at: Date.now() } });
      entries.sort(([, a], [, b]) => (b.at ?? 0) - (a.at ?? 0));
      return write(name, Object.fromEntries(entries.slice(0, most)));
    },
    drop(key) {
      const { [key]: _, ...rest } = all();
      write(name, rest);
    },
    /** [key, entry], newest first. */
    entries: () => Object.entries(all()).sort(([, a], [, b]) => (b.at ?? 0) - (a.at ?? 0)),
    /** Calls when another tab has changed it. */
    onChange: (call) => addEventListener("storage", (event) => event.key === PREFIX + name && call()),
  };
}
