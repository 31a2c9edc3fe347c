"""States of what lies around a run: sharing and lists, errors of the server, tenants."""

import urllib.request

from gallery_stage import OPERATOR, TENANT, Stage, ready, shared
from gallery_workflows import ASKS, FAILS, SLOW, WAITS
from page_support import Playground, expect

DROP = """([name, text]) => {
    const data = new DataTransfer();
    data.items.add(new File([text], name));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""
LONG_NAME = "run-of-a-parcel-that-nobody-has-answered-for-so-far-in-the-whole-of-november.jsonl"


def from_file(stage: Stage) -> None:
    """A run that waited, from a file."""
    saved = _saved(stage)
    page = stage.open("/")
    page.page.evaluate(DROP, [LONG_NAME, saved])
    page.expect_status("Waiting")


def from_file_refused(stage: Stage) -> None:
    """A file that is cut off."""
    saved = _saved(stage)
    page = stage.open("/", half="code")
    page.page.evaluate(DROP, ["cut.jsonl", saved[:-100]])
    expect(page.page.get_by_role("alert")).to_contain_text("This file was not opened.")


def _saved(stage: Stage) -> str:
    """The file of a run that waits."""
    made = stage.ask("/api/instances", {"example": "approval"})
    stage.open(made["url"]).expect_status("Waiting")
    stage.leave()
    with urllib.request.urlopen(f"{stage.url}/api{made['url']}/export", timeout=30) as answer:
        return str(answer.read().decode())


def share(stage: Stage) -> None:
    """Sharing a run."""
    page = stage.run(WAITS)
    page.expect_status("Waiting")
    page.control("Share").click()
    expect(page.page.get_by_label("Link to the code")).not_to_have_value("")


def take_out(stage: Stage) -> None:
    """Taking code to Cloudflare."""
    page = stage.open("/examples/support-desk", half="code")
    ready(page)
    page.control("Share").click()
    page.page.get_by_text("Take it to Cloudflare").click()
    button = page.page.get_by_role("button", name="Download the folder")
    expect(button).to_be_enabled()
    button.scroll_into_view_if_needed()


def inbox(stage: Stage) -> None:
    """What waits for a person."""
    page = stage.run(ASKS)
    page.expect_status("Waiting")
    page.page.goto(stage.url + "/inbox")
    expect(page.page.get_by_role("button", name="Approve")).to_be_visible()


def inbox_empty(stage: Stage) -> None:
    """Nothing waits for a person."""
    expect(stage.open("/inbox").page.get_by_text("Nothing waits for you.")).to_be_visible()


def answer_link(stage: Stage) -> None:
    """What a signed link asks."""
    page = stage.run(ASKS)
    page.expect_status("Waiting")
    made = page.page.evaluate(
        """async id => (await fetch(`/api/instances/${id}/waits/manager%20decides/1/links`, { method: "POST",
        body: '{"label": "Grace"}', headers: { Authorization: `Bearer ${JSON.parse(
        localStorage.getItem("playground.tokens"))[id].token}` } })).json()""",
        page.instance,
    )
    page.page.goto(stage.url + "/answer/" + made["url"].rpartition("/")[2])
    expect(page.page.get_by_role("button", name="Approve")).to_be_visible()


def watching(stage: Stage) -> None:
    """A run of somebody else's."""
    made = stage.ask("/api/instances", {"source": WAITS, "params": {}})
    stage.open(made["url"]).expect_status("Waiting")


def snippet(stage: Stage) -> None:
    """Code that came in a link."""
    ready(stage.open(shared(stage), half="code"))


def embed(stage: Stage) -> None:
    """The embed."""
    expect(stage.open(shared(stage) + "/embed", half="code").page.locator("#listing")).to_be_visible()


def plain(stage: Stage) -> None:
    """A run without scripts."""
    made = stage.ask("/api/instances", {"source": FAILS, "params": {}})
    stage.open(made["url"]).expect_status("Errored")
    stage.leave()
    stage.equal[made["id"]] = "run-plain"
    stage.open(made["url"], java_script_enabled=False)


def runs(stage: Stage) -> None:
    """Recent runs."""
    page = stage.run(WAITS)
    page.expect_status("Waiting")
    page.page.goto(stage.url + "/examples/hello")
    page.run()
    page.expect_status("Complete")
    page.control("Recent runs").click()
    expect(page.page.get_by_role("dialog", name="Recent runs").get_by_role("listitem")).to_have_count(2)


def runs_empty(stage: Stage) -> None:
    """Recent runs: none yet."""
    page = stage.open("/examples/hello")
    ready(page)
    page.control("Recent runs").click()


def keys(stage: Stage) -> None:
    """The keys."""
    page = stage.open("/examples/hello")
    ready(page)
    page.page.evaluate("document.activeElement.blur()")
    page.page.keyboard.press("?")
    expect(page.page.locator("dialog[open]")).to_be_visible()


def server_away(stage: Stage) -> None:
    """No connection, in the middle of a run."""
    page = stage.run(SLOW)
    page.expect_step("charge card", "running")
    page.watched.server_away = True
    page.page.route("**/stream*", lambda route: route.abort())
    page.page.context.set_offline(True)
    # A page that comes back from the browser's cache opens its stream anew.
    page.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(page.page.locator('[data-part="notices"]')).to_contain_text("connection", ignore_case=True)


def refused(stage: Stage) -> None:
    """The server refuses a run."""
    page = stage.open("/", half="run")
    ready(page)
    limited = '{"error": {"code": "too_many", "message": "This address has started many runs. Try again in 40 s."}}'
    page.page.route(
        "**/api/instances", lambda route: route.fulfill(status=429, body=limited, content_type="application/json")
    )
    page.run_button.click()
    expect(page.page.locator(".notice:visible").first).to_be_visible()


def about(stage: Stage) -> None:
    """About this server."""
    stage.open("/about")


def security(stage: Stage) -> None:
    """What protects from what."""
    stage.open("/security")


def not_found(stage: Stage) -> None:
    """A page that there is not."""
    stage.open("/nothing-is-here")


def run_not_found(stage: Stage) -> None:
    """A run that there is not."""
    stage.open("/instances/there-is-none")


def tenants(stage: Stage) -> None:
    """Tenants, to a visitor."""
    stage.open("/tenants")


def tenants_operator(stage: Stage) -> None:
    """Tenants, to the operator."""
    stage.key()
    stage.open("/tenants?operator=1", http_credentials={"username": "operator", "password": OPERATOR})


def tenant_locked(stage: Stage) -> None:
    """A tenant's page before its key."""
    stage.open(f"/tenants/{TENANT}")


def tenant_empty(stage: Stage) -> None:
    """A tenant with nothing deployed."""
    _tenant_open(stage)


def tenant_runs(stage: Stage) -> None:
    """A tenant's versions and runs."""
    page, key = _tenant_open(stage)
    headers = {"Authorization": f"Bearer {key}"}
    base = f"{stage.url}/api/tenants/{TENANT}"
    assert page.page.request.put(f"{base}/workflow", headers=headers, data={"source": WAITS}).ok
    for number in range(4):
        data = {"id": f"order-{number}", "params": {"number": number}}
        page.page.request.post(f"{base}/instances", headers=headers, data=data)
    page.page.reload()
    expect(page.page.locator("#runs-rows li")).to_have_count(4)


def tenant_bulk(stage: Stage) -> None:
    """A tenant's runs that fit a filter, and an operation on many that could not be carried out on some."""
    page, key = _tenant_open(stage)
    headers = {"Authorization": f"Bearer {key}"}
    base = f"{stage.url}/api/tenants/{TENANT}"
    assert page.page.request.put(f"{base}/workflow", headers=headers, data={"source": WAITS}).ok
    for number in range(3):
        data = {"id": f"order-{number}", "tags": ["spring", "a-customer-with-a-very-long-name-" + "x" * 60]}
        assert page.page.request.post(f"{base}/instances", headers=headers, data=data).ok
    failures = [{"id": f"order-{n}", "message": 'It has no step "charge card-1" (do) to restart from.'} for n in "78"]
    counts = {"matched": 1_204, "done": 450, "unchanged": 12, "failed": 2, "rate": 480.2, "failures": failures}
    going = {"id": "b1", "operation": "restart", "state": "running", **counts}
    page.page.route("**/bulk", lambda route: route.fulfill(json={"bulks": [going]}))
    page.page.route("**/bulk/b1", lambda route: route.fulfill(json=going))
    page.page.goto(f"{stage.url}/tenants/{TENANT}?status=waiting&tag=spring&since=2+hours")
    expect(page.page.locator("#runs-rows li")).to_have_count(3)
    expect(page.page.locator("#bulk-said")).to_have_text("464 of 1,204, 480 a second")


def tenant_workflows(stage: Stage) -> None:
    """A tenant with several workflows, one of them with a long name."""
    page, key = _tenant_open(stage)
    headers = {"Authorization": f"Bearer {key}"}
    base = f"{stage.url}/api/tenants/{TENANT}"
    names = ("mail", "invoices-of-the-quarter-with-reminders-and-a-very-long-name_2026")
    for name in names:
        assert page.page.request.put(f"{base}/workflows/{name}", headers=headers, data={"source": WAITS}).ok
        data = {"id": f"of-{name[:8]}", "workflow": name, "params": {}}
        assert page.page.request.post(f"{base}/instances", headers=headers, data=data).ok
    dying = {"consumer": "nobody", "max_batch_timeout": 0, "max_retries": 0}
    assert page.page.request.put(f"{base}/queues/default", headers=headers, data=dying).ok
    for body in ({"order": 7, "to": "lin@example.com"}, "a second letter"):
        assert page.page.request.post(f"{base}/queues/default/messages", headers=headers, data={"body": body}).ok
    page.page.reload()
    page.page.get_by_role("radio", name="mail").check()
    expect(page.page.locator("#tenant-live")).to_have_text("version 1 of mail is live")
    page.page.locator("#queues summary").click()
    expect(page.page.locator("#queues .counts")).to_have_text("2 dead")
    expect(page.page.locator("#queues .dead li")).to_have_count(2)


def tenant_schedules(stage: Stage) -> None:
    """A tenant's schedules: one with a long name, one that is paused; runs that are held."""
    page, key = _tenant_open(stage)
    headers = {"Authorization": f"Bearer {key}"}
    base = f"{stage.url}/api/tenants/{TENANT}"
    assert page.page.request.put(f"{base}/workflow", headers=headers, data={"source": WAITS}).ok
    for name, cron, zone, paused in (
        ("invoices-of-the-quarter-with-reminders-and-a-very-long-name_2026", "0 9 1 JAN,APR,JUL,OCT *", "UTC", False),
        ("nightly", "30 2 * * *", "America/Argentina/ComodRivadavia", True),
    ):
        data = {"cron": cron, "timezone": zone, "paused": paused}
        assert page.page.request.put(f"{base}/schedules/{name}", headers=headers, data=data).ok
    limits = {"concurrency_per_key": 1}
    for number in range(3):
        data = {"id": f"of-order-7-{number}", "key": "order-7", "limits": limits, "params": {}}
        page.page.request.post(f"{base}/instances", headers=headers, data=data)
    page.page.request.post(f"{base}/instances", headers=headers, data={"id": "tomorrow", "delay": "1 day"})
    page.page.reload()
    expect(page.page.locator("#schedules li")).to_have_count(2)
    expect(page.page.locator("#runs-rows")).to_contain_text("2 ahead of it: concurrency 1 for key order-7.")


def tenant_services(stage: Stage) -> None:
    """A tenant's own model and servers of tools, with long names, and what the server refuses."""
    page, key = _tenant_open(stage)
    headers = {"Authorization": f"Bearer {key}"}
    base = f"{stage.url}/api/tenants/{TENANT}"
    model = {
        "base_url": "https://models-of-the-whole-company.eu-central-1.example.com/v1",
        "models": ["small", "large"],
    }
    assert page.page.request.put(f"{base}/ai", headers=headers, data={**model, "tokens_per_day": 2_000_000}).ok
    for name, tools in (("default", None), ("accounts-receivable-and-payable", ["find_invoice", "send_reminder"])):
        data = {"url": f"https://tools.example.com/{name}/mcp", **({"tools": tools} if tools else {})}
        assert page.page.request.put(f"{base}/mcp-servers/{name}", headers=headers, data=data).ok
    page.page.reload()
    expect(page.page.locator("#tools li")).to_have_count(2)
    page.page.get_by_label("Its address").fill("https://elsewhere.example/mcp")
    page.page.get_by_role("button", name="Set the server").click()
    expect(page.page.locator("#tools-said")).to_contain_text("not among")
    page.page.locator("#model-title").evaluate("title => title.scrollIntoView()")


def agent(stage: Stage) -> None:
    """A step that called a model, with its tokens in the row, and its drawer."""
    page = stage.open("/examples/agent-loop")
    page.run()
    page.expect_status("Complete")
    page.step("ask model").first.click()
    expect(page.page.get_by_role("tabpanel", name="ask model").first).to_contain_text("@playground/script")


def tenant_start_later(stage: Stage) -> None:
    """A start that says when it may be, with a long key, and what the server refuses of it."""
    page, _ = _tenant_open(stage)
    page.page.locator("#begin-when summary").click()
    page.page.get_by_label("Key", exact=True).fill("invoices-of-the-quarter-with-reminders-and-a-very-long-name_2026")
    page.page.get_by_label("Delay").fill("soon")
    page.page.get_by_label("Priority").fill("9")
    page.page.get_by_role("button", name="Start", exact=True).click()
    expect(page.page.locator("#begin-said")).to_contain_text("`delay`: ")


def tenant_held(stage: Stage) -> None:
    """A run that waits for its turn."""
    page, _ = _tenant_open(stage)
    page.page.goto(f"{stage.url}/tenants/{TENANT}/instances/of-order-7-2")
    page.expect_status("Queued")
    expect(page.page.get_by_text("2 ahead of it")).to_be_visible()


def tenant_run(stage: Stage) -> None:
    """One run of a tenant."""
    page, _ = _tenant_open(stage)
    page.page.goto(f"{stage.url}/tenants/{TENANT}/instances/order-1")
    page.expect_status("Waiting")


def tenant_copy(stage: Stage) -> None:
    """The texts that a tenant's run is copied as."""
    tenant_run(stage)
    stage.page.get_by_role("button", name="Copy as text").click()


def _tenant_open(stage: Stage) -> tuple[Playground, str]:
    """A tenant's page, opened with a key."""
    key = stage.key()
    page = stage.open(f"/tenants/{TENANT}")
    page.page.get_by_label(f"Key of {TENANT}").fill(key)
    page.page.get_by_role("button", name="Open", exact=True).click()
    expect(page.page.locator("#versions")).to_be_visible()
    return page, key
