// The inbox: what waits for a person in the runs that this browser started, and of the tenants whose keys it keeps. Looked at again every few
// seconds while the page is in sight. A card keeps its form, so that nothing that was typed is lost when the list is drawn again.

import { el, icon, once } from "./dom.js";
import { Refused, post, request } from "./http.js";
import { answerForm, wrongWords } from "./inbox-form.js";
import { moment } from "./run/words.js";
import { forget as forgetKey, kept, keyOf } from "./tenants/kept.js";
import { remembered, titleOf, tokenOf } from "./tokens-store.js";

const AGAIN_MS = 5_000;
const RUNS_MOST = 100; // the newest of this browser; of a tenant the server says which
const TENANTS_MOST = 10;
const NOT_A_KEY = new Set(["key.wrong", "key.revoked"]);
const NOTHING = "Nothing waits for you. A run that calls wait_for_event stands here until somebody has answered.";
const GONE = "Not asked any more: it was answered elsewhere, its time ran out, or the run has ended.";

const list = document.getElementById("inbox-list");
const said = document.getElementById("inbox-said");
const trouble = document.getElementById("inbox-trouble");
const cards = new Map(); // by the address that takes the answer
let timer = 0;
let made = 0;

/** The questions to the server: for some of the runs of this browser, or for all of a tenant. */
function sources() {
  const most = Number(list.dataset.idsMax);
  const ids = remembered().filter(({ own }) => own).slice(0, RUNS_MOST).map(({ id }) => id);
  const chunks = Array.from({ length: Math.ceil(ids.length / most) }, (_, index) => ids.slice(index * most, (index + 1) * most));
  return [
    ...chunks.map((some) => ({ path: `/inbox?ids=${some.map(encodeURIComponent).join(",")}`, tenant: null })),
    ...kept().slice(0, TENANTS_MOST).map((tenant) => ({ path: "/inbox", tenant })),
  ];
}

async function look() {
  clearTimeout(timer);
  const errors = [];
  const found = [];
  for (const { path, tenant } of sources()) {
    try {
      const { items } = await request(path, { token: tenant ? keyOf(tenant) : undefined });
      found.push(...items.map((item) => ({ ...item, tenant })));
    } catch (error) {
      if (tenant && error instanceof Refused && NOT_A_KEY.has(error.code)) forgetKey(tenant);
      errors.push(error);
    }
  }
  draw(found, errors);
  if (!document.hidden) timer = setTimeout(look, AGAIN_MS);
}

function draw(items, errors) {
  const words = errors.length ? `${errors[0].message} ${errors[0] instanceof Refused ? "" : "What stands here may be old; trying again."}`.trim() : "";
  if (trouble.textContent !== words) trouble.textContent = words;
  trouble.hidden = !words;
  const now = new Set(items.map(({ answer }) => answer));
  for (const item of items) {
    const card = cards.get(item.answer);
    if (card) card.update(item);
    else cards.set(item.answer, new Card(item));
  }
  if (!errors.length) for (const [answer, card] of cards) if (!now.has(answer)) card.end(GONE, "i-stop");
  for (const { node } of cards.values()) if (!node.isConnected) list.append(node);
  list.setAttribute("aria-busy", "false");
  const open = [...cards.values()].filter((card) => !card.over).length;
  const state = cards.size || words ? "" : NOTHING;
  if (said.textContent !== state) said.textContent = state;
  document.title = `${open ? `${open} ${open === 1 ? "waits" : "wait"} for you` : "Inbox"} · Dynamic Workflows Playground`;
}

class Card {
  constructor(item) {
    this.item = item;
    this.over = false;
    const { asked, form, run } = item;
    const id = `ask-${++made}`;
    const run_ = titleOf(run.id) || run.title || run.id.slice(0, 8);
    this.until = el("span");
    this.form = answerForm({ form, id, label: `Answer ${asked}`, send: (fields, button) => this.send(fields, button) });
    this.held = el("p.answer-said", { hidden: true }, "The run is paused, so that nothing answers it now. It can be answered once it goes on.");
    this.head = el("h2", { tabindex: "-1" }, form.title || asked);
    const meta = el("p.inbox-meta", {}, el("a", { href: run.page }, run_), item.tenant && el("span", {}, "of ", el("b", {}, item.tenant)), el("span", {}, "step ", el("code", {}, asked)), item.since && el("span", {}, `asked ${moment(item.since, Date.now())}`), this.until);
    this.link = el("p.inbox-link", {}, el("button.link", { type: "button", onclick: (event) => once(event.currentTarget, () => this.makeLink()) }, "Get a link for somebody else"));
    this.node = el("li.inbox-card", {}, this.head, meta, form.help && el("p.inbox-help", {}, form.help), this.held, this.form, this.link);
    this.update(item);
  }

  update(item) {
    if (this.over) return;
    this.item = item;
    this.until.textContent = `until ${moment(item.until, Date.now())}`;
    this.held.hidden = !item.paused;
    this.form.hidden = item.paused;
  }

  token() {
    return this.item.tenant ? keyOf(this.item.tenant) : tokenOf(this.item.run.id);
  }

  /** A link with which somebody without an account answers this, once; whoever gets it is not told the run's address. */
  async makeLink() {
    try {
      const { url } = await post(this.item.answer.replace(/\/answer\?.*$/, "/links"), {}, { token: this.token() });
      const field = el("input.field", { readonly: true, value: new URL(url, location.href).href });
      const label = el("label.inbox-given", {}, "Whoever has this link can answer, once. Send it to one person.", field);
      this.link.replaceWith(label);
      this.link = label;
      field.focus();
      field.select();
    } catch (error) {
      this.link.append(` ${error.message}`);
    }
  }

  async send(fields, button) {
    const { answer, form } = this.item;
    try {
      await request(answer, { method: "POST", body: fields, token: this.token() });
    } catch (error) {
      if (error.code !== "wait.over" || this.item.paused) return error instanceof Refused ? wrongWords(form, error) : `${error.message} Nothing is known of your answer; look again.`;
      this.end(GONE, "i-stop");
      return "";
    }
    this.end(`Answered by you at ${moment(Date.now(), Date.now())}: ${button.textContent === "Send the answer" ? "sent" : button.textContent}.`, "i-done");
    return "";
  }

  /** Nothing more can be done here. It stays in sight until the page is opened again. */
  end(words, sign) {
    if (this.over) return;
    this.over = true;
    const held = this.node.contains(document.activeElement);
    this.node.classList.add("is-over");
    this.held.remove();
    this.link.remove();
    this.form.replaceWith(el("p.inbox-done", { role: "status" }, icon(sign), words));
    this.until.textContent = "";
    if (held) this.head.focus();
  }
}

document.addEventListener("visibilitychange", () => !document.hidden && look());
look();
