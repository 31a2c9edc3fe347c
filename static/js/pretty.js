// JSON laid out for reading, token by token: numbers keep all their digits and strings stay as they were written.

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;
const EMPTY = /^[{[]$/;

/** The text of valid JSON with two spaces for each level and every member on a line of its own. */
export function prettyJson(text) {
  const tokens = text.match(TOKEN) ?? [];
  let made = "";
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  tokens.forEach((token, index) => {
    const before = tokens[index - 1];
    if (token === "}" || token === "]") {
      depth -= 1;
      made += EMPTY.test(before) ? token : line() + token;
      return;
    }
    if (EMPTY.test(before) || before === ",") made += line();
    made += token === ":" ? ": " : token;
    if (EMPTY.test(token)) depth += 1;
  });
  return made;
}
