// Sentences of lessons: text in which code stands between backticks.

export const lowered = (text) => text.charAt(0).toLowerCase() + text.slice(1);

/** Text in which code stands between backticks, in parts. */
export const spoken = (text) => text.split("`").map((piece, index) => (index % 2 ? { code: piece } : piece)).filter((piece) => piece !== "");
