// JSON that somebody has typed.

/**
 * @param {string} text nothing stands for null
 * @param {string} it what is said of it begins so
 * @returns {{json: string, value?: any, wrong: string}} `wrong` is what is the matter, or ""
 */
export function typed(text, it = "This is") {
  const json = text.trim() || "null";
  try {
    return { json, value: JSON.parse(json), wrong: "" };
  } catch (error) {
    return { json, wrong: `${it} not JSON: ${error.message.replace(/^JSON\.parse: /, "")}. Text goes in double quotes.` };
  }
}
