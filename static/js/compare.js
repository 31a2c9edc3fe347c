// Two runs side by side while one of them lives: both journals are followed and folded, and the page is drawn as the server drew it.

import { rowsOf, verdictOf } from "./compare-rows.js";
import { icon, setText } from "./dom.js";
import { compare } from "./run/compare-fold.js";
import { apply, newState } from "./run/fold.js";
import { Stream } from "./run/stream.js";
import { view } from "./run/view.js";
import { lasting } from "./run/words.js";
import { STATUS } from "./statuses.js";

const DRAW_MS = 250; // at most so often
const data = JSON.parse(document.getElementById("compare-data").textContent);
const sides = ["a", "b"].map((name) => ({ ...data[name], state: newState() }));
let timer = null;

for (const side of sides) {
  side.stream = new Stream({
    id: side.id,
    after: 0,
    onEvents(events) {
      for (const event of events) apply(side.state, event);
      soon();
    },
    onHello: (hello) => ((side.last = hello.last_seq), soon()),
    onReset: () => (side.state = newState()),
    onEnd: () => soon(),
    onTrouble: () => {},
  });
}

function soon() {
  timer ??= setTimeout(() => {
    timer = null;
    draw();
  }, DRAW_MS);
}

/** Until both histories are here the server's table stands. */
function draw() {
  if (sides.some((side) => side.last === undefined || side.state.lastSeq < side.last)) return;
  const [a, b] = sides.map((side) => ({ ...view(side.state), snippet: side.state.codeChanges.at(-1)?.snippet ?? side.snippet }));
  const found = compare(a, b);
  verdict(found);
  ["a", "b"].forEach((name, index) => facts(document.querySelector(`#side-${name}`), [a, b][index]));
  const body = document.querySelector("#compare tbody");
  if (body.contains(document.activeElement)) return body.addEventListener("focusout", soon, { once: true }); // somebody is there
  const read = [...body.querySelectorAll("details[open]")].map((one) => [one.closest("tr").id, one.closest("td").cellIndex]);
  const code = document.getElementById("row-code"); // as the server has drawn it
  body.replaceChildren(...rowsOf(found, a, b, code ? [code] : []));
  for (const [id, column] of read) document.getElementById(id)?.cells[column]?.querySelector("details")?.setAttribute("open", "");
}

function verdict(found) {
  const said = verdictOf(found);
  const node = document.getElementById("verdict");
  if (node.textContent !== said.textContent) node.replaceChildren(...said.childNodes);
}

function facts(side, shown) {
  const [status, took, executions] = side.querySelectorAll(".facts b");
  setText(status, STATUS[shown.status].word);
  status.previousElementSibling.replaceWith(icon(STATUS[shown.status].icon, { tone: shown.status === "errored" ? "bad" : "" }));
  if (shown.started_at !== null) setText(took, lasting((shown.ended_at ?? Date.now()) - shown.started_at));
  setText(executions, String(shown.executions.length));
}
