// A tenant's queues of messages: how many wait, are being delivered and are dead; the dead ones can be looked at, sent again or deleted.

import { confirm } from "../dialogs.js";
import { announce, el, once } from "../dom.js";
import { request } from "../http.js";
import { tenantPath } from "../run/paths.js";
import { brief } from "../run/value.js";
import { moment } from "../when.js";

const NONE = "No queues.";

/** @param {{tenant: string, key: () => string}} how */
export function makeQueues({ tenant, key }) {
  const list = document.getElementById("queues");
  const count = document.getElementById("queues-count");
  const form = document.getElementById("queue-form");
  const said = document.getElementById("queues-said");
  const rows = new Map(); // by name, each made once, so that one that is open stays so
  const at = (rest = "") => `/api${tenantPath(tenant)}/queues${rest}`;
  const of = (name, rest = "") => at(`/${encodeURIComponent(name)}${rest}`);
  let any = false;

  async function trying(what) {
    try {
      await what();
      said.hidden = true;
    } catch (error) {
      announce(said, "bad", error.message);
    }
  }

  async function look() {
    const { queues } = await request(at(), { token: key() });
    any = queues.length > 0;
    count.textContent = any ? queues.length.toLocaleString("en") : "";
    for (const name of rows.keys()) if (!queues.some((queue) => queue.name === name)) rows.delete(name);
    const shown = queues.map((queue) => {
      if (!rows.has(queue.name)) rows.set(queue.name, row(queue.name));
      rows.get(queue.name).fill(queue);
      return rows.get(queue.name).node;
    });
    const wanted = shown.length ? shown : [el("li.nothing", {}, NONE)];
    if (wanted.length !== list.children.length || wanted.some((node, place) => node !== list.children[place])) list.replaceChildren(...wanted);
  }

  function row(name) {
    const counts = el("span.dim.counts");
    const dead = el("ul.dead");
    const consumer = el("span.dim");
    const remove = el("button.btn.line.small", { type: "button" }, "Delete the queue");
    const details = el("details", {}, el("summary", {}, el("b.mono", { title: name }, name), counts), el("p.dim", {}, "Handled by the workflow ", consumer, "."), dead, el("p.row-end", {}, remove));
    let had = null;

    async function read() {
      const { messages } = await request(of(name, "/dead"), { token: key() });
      dead.replaceChildren(...(messages.length ? messages.map(letter) : [el("li.nothing", {}, "No dead letters.")]));
    }

    function letter({ id, body, attempts, dead_at: at }) {
      const act = (path, method, label) => {
        const button = el("button.btn.line.small", { type: "button", "aria-label": `${label}: message ${id}` }, label);
        button.addEventListener("click", () => once(button, () => trying(() => request(of(name, `/dead/${encodeURIComponent(id)}${path}`), { method, token: key() }).then(read).then(look))));
        return button;
      };
      const tried = `${attempts} ${attempts === 1 ? "attempt" : "attempts"}, dead since ${moment(at)}`;
      return el("li", {}, el("code", { title: id }, brief(body)), el("span.dim", {}, tried), el("span.pair-of", {}, act("/retry", "POST", "Send again"), act("", "DELETE", "Delete")));
    }

    details.addEventListener("toggle", () => details.open && trying(read));
    remove.addEventListener("click", async () => {
      const sure = await confirm({ title: `Delete the queue ${name}?`, words: "Its messages go with it, dead ones too. Batches that are being handled go on.", yes: "Delete it" });
      if (sure) trying(() => request(of(name), { method: "DELETE", token: key() }).then(look));
    });
    return {
      node: el("li", {}, details),
      fill(queue) {
        consumer.textContent = queue.consumer;
        counts.textContent = stands(queue);
        if (had !== null && had !== queue.dead && details.open) trying(read);
        had = queue.dead;
      },
    };
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { name, consumer } = form.elements;
    once(form.querySelector("[type=submit]"), () =>
      trying(async () => {
        await request(of(name.value.trim()), { method: "PUT", body: { consumer: consumer.value.trim() || "main" }, token: key() });
        name.value = "";
        await look();
      }),
    );
  });
  trying(look);
  return { lookAgain: () => any && trying(look) };
}

/** How a queue stands, in a few words. */
export function stands({ waiting, delivering, dead }) {
  const parts = [
    [waiting, "waiting"],
    [delivering, "being delivered"],
    [dead, "dead"],
  ].filter(([number]) => number);
  return parts.length ? parts.map(([number, word]) => `${number.toLocaleString("en")} ${word}`).join(", ") : "empty";
}
