"""What is typed to find a tenant's runs, its filter, its address, and the words about an operation on many."""

from typing import Any

from page_code_support import node

SCRIPT = """import * as find from "RUN/../tenants/find.js";
const { asBody, filterOf, filterOfAddress, intoAddress, question, standing, textOf } = find;
return {
  filters: given.texts.map((text) => filterOf(text)),
  texts: given.texts.map((text) => textOf(filterOf(text))),
  again: given.texts.map((text) => JSON.stringify(filterOf(textOf(filterOf(text)))) === JSON.stringify(filterOf(text))),
  addresses: given.texts.map((text) => {
    const query = new URLSearchParams("status=errored&tag=old&error=Old");
    intoAddress(query, filterOf(text));
    return [query.toString(), JSON.stringify(filterOfAddress(query).sort()) === JSON.stringify(filterOf(text).sort())];
  }),
  body: asBody(filterOf('vip eu error:ValueError since:"2 hours"'), "errored"),
  questions: given.matches.map((found) => Object.values(question("Terminate", found, "over")).join(" ")),
  standings: given.bulks.map(standing),
};
"""

TEXTS = {
    "": [],
    "vip": [["tag", "vip"]],
    'vip "größe 7" vip': [["tag", "vip"], ["tag", "größe 7"]],
    "order:7 error:A error:B": [["tag", "order:7"], ["error", "B"]],
    'waiting:go since:"2 hours" text:"was refused" workflow:main version:v until:2026-11-30': [
        ["waiting_for", "go"], ["since", "2 hours"], ["text", "was refused"], ["workflow", "main"], ["version", "v"],
        ["until", "2026-11-30"],
    ],
    "error:": [["tag", "error:"]],
}  # fmt: skip


def bulk(state: str, **more: Any) -> dict[str, Any]:
    return {"state": state, "matched": 1204, "done": 0, "unchanged": 0, "failed": 0, "rate": 0.0} | more


def test_what_is_typed_is_a_filter_an_address_and_a_question() -> None:
    matches = [{"matched": 1, "unchanged": 0}, {"matched": 1204, "unchanged": 12}, {"matched": 2, "unchanged": 1}]
    bulks = [
        bulk("running"), bulk("running", done=450, rate=480.4),
        bulk("done", done=1190, unchanged=12, failed=2), bulk("stopped", done=300),
    ]  # fmt: skip
    said = node(SCRIPT, {"texts": list(TEXTS), "matches": matches, "bulks": bulks})
    assert said["filters"] == list(TEXTS.values())
    assert all(said["again"]) and all(same for _, same in said["addresses"])
    assert said["addresses"][1][0] == "status=errored&tag=vip"
    assert said["body"] == {"status": "errored", "tag": ["vip", "eu"], "error": "ValueError", "since": "2 hours"}
    assert said["questions"] == [
        "Terminate 1 run? They are chosen now: runs that fit later are left alone.",
        "Terminate 1,204 runs? 12 of them are over already, and stay so.",
        "Terminate 2 runs? 1 of them is over already, and stays so.",
    ]
    assert said["standings"] == [
        "0 of 1,204", "450 of 1,204, 480 a second",
        "1,190 done, 12 were so already, 2 could not be", "stopped after 300 of 1,204: 300 done",
    ]  # fmt: skip
