"""How several instances stand, asked at once."""

from http_support import APPROVAL, Site, code_of


def test_statuses_of_many_in_one_answer(site: Site) -> None:
    made = site.client.post("/api/instances", json={"source": APPROVAL}).json()
    answer = site.client.get(f"/api/statuses?ids={made['id']},never-was,{made['id']},").json()
    (shown,) = answer["statuses"]
    assert shown["id"] == made["id"]
    assert shown["status"] in ("queued", "running", "waiting")
    assert shown["created_at"] > 0
    assert shown["ended_at"] is None
    for ids in ("", ",", ",".join(map(str, range(51)))):
        refused = site.client.get(f"/api/statuses?ids={ids}")
        assert code_of(refused) == (400, "query.invalid")
