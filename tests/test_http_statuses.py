"""How several instances stand, asked at once."""

from http_support import APPROVAL, HELLO, MakeSite, Site, code_of

from playground.web.instance_view import BRIEF_CHARACTERS


def test_statuses_of_many_in_one_answer(site: Site) -> None:
    made = site.client.post("/api/instances", json={"source": APPROVAL}).json()
    answer = site.client.get(f"/api/statuses?ids={made['id']},never-was,{made['id']},").json()
    (shown,) = answer["statuses"]
    assert shown["id"] == made["id"]
    assert shown["status"] in ("queued", "running", "waiting")
    assert shown["created_at"] > 0
    assert shown["ended_at"] is shown["error"] is None
    assert shown["execution"] in (0, 1)
    for ids in ("", ",", ",".join(map(str, range(51)))):
        refused = site.client.get(f"/api/statuses?ids={ids}")
        assert code_of(refused) == (400, "query.invalid")


def test_an_error_is_cut_for_one_line_of_a_list(site: Site) -> None:
    source = HELLO.replace('return {"greeting": await greet()}', f'raise KeyError("total " * {BRIEF_CHARACTERS})')
    made = site.create(source)
    site.finish(made)
    (shown,) = site.client.get(f"/api/statuses?ids={made['id']}").json()["statuses"]
    assert (shown["status"], shown["execution"], shown["error"]["name"]) == ("errored", 1, "KeyError")
    assert shown["error"]["message"].startswith("'total total")
    assert len(shown["error"]["message"]) == BRIEF_CHARACTERS
    assert source.splitlines()[shown["error"]["line"] - 1].strip().startswith("raise KeyError")


LONG = """import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.do("long", lambda: asyncio.sleep(60))
"""


def test_a_queued_run_says_how_many_are_ahead_of_it(make_site: MakeSite) -> None:
    site = make_site(workers=1)
    runs = site.create(LONG)
    site.until(runs, "attempt_started")
    queued = [site.create(LONG)["id"] for _ in range(3)]
    said = [site.client.get(f"/api/instances/{id}").json()["queue"] for id in queued]
    assert [queue["ahead"] for queue in said] == [0, 1, 2]
    assert [queue["text"] for queue in said] == [
        "Waits for a worker.",
        "Waits for a worker; 1 run is ahead of it.",
        "Waits for a worker; 2 runs are ahead of it.",
    ]
