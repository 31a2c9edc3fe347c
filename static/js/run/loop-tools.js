// Under the row of a loop that is open: to one of its turns by its number, or to the longest.

import { el, setInvalid, setText } from "../dom.js";

/** @param {{go: (turn: number) => void, longest: () => void}} how `go` takes the number of a turn, from 1 */
export function loopTools({ go, longest }) {
  let most = 0;
  const field = el("input.field", { type: "text", inputmode: "numeric", autocomplete: "off", spellcheck: "false" });
  const all = el("span.num");
  const said = el("span.said", { role: "status" });
  const tools = el(
    "form.group-tools",
    { "aria-label": "Turns of this loop", novalidate: true },
    el("button.btn.line.small", { type: "button", onclick: longest }, "Longest"),
    el("label", {}, "Turn", field),
    all,
    el("button.btn.line.small", { type: "submit" }, "Go"),
    said,
  );
  tools.addEventListener("submit", (event) => {
    event.preventDefault();
    const turn = Number(field.value.replace(/[\s,]/g, ""));
    const fits = Number.isInteger(turn) && turn >= 1 && turn <= most;
    setInvalid(field, !fits);
    setText(said, fits ? "" : `A number from 1 to ${most.toLocaleString("en")}.`);
    if (fits) go(turn);
  });
  tools.fill = (many) => {
    most = many;
    setText(all, `of ${many.toLocaleString("en")}`);
  };
  return tools;
}
