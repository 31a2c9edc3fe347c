"""The database's disk is full: commits fail with a sentence, what was committed stands, and all goes on once there is
room.

A file of a table that is a link to /dev/full makes PostgreSQL find no space, as any user may. Here it is where large
values of the journal go: small commits still work, which is the harder case, since the node can keep its lease and
claim on what is nearly full.
"""

import secrets

from aio import run
from outage_support import member, results
from postgres_support import name_of, shared_server
from puppet_support import do, done, ended, frame, has, hears
from semantics_support import assert_dense

from playground.workflows import events as ev

LARGE = 20_000  # characters, which do not compress
VALUES = "SELECT pg_relation_filepath(reltoastrelid) FROM pg_class WHERE relname = 'event_0'"
NEW_FILES = "VACUUM FULL event_0"


def fill_up(name: str) -> None:
    """Leave no room for large values in the journal of a database."""
    server = shared_server()
    server.sql(NEW_FILES, name)  # so that it is empty, and nobody has it open
    path = server.folder / "data" / server.sql(VALUES, name)
    assert path.stat().st_size == 0
    path.unlink()
    path.symlink_to("/dev/full")


def make_room(name: str) -> None:
    shared_server().sql(NEW_FILES, name)


def test_commits_fail_with_a_sentence_and_go_on_once_there_is_room(postgres_url: str) -> None:
    name = name_of(postgres_url)

    async def story() -> None:
        async with member("a", postgres_url, worker_losses=2) as a:
            row, puppet = await a.start()
            other, innocent = await a.start()
            await puppet.say(do(count=1), done(count=1, value="small"))
            assert (await puppet.hear())["op"] == "ok"
            fill_up(name)
            large = secrets.token_hex(LARGE // 2)
            await puppet.say(do("large"))
            await a.journal(row, has(ev.ATTEMPT_STARTED, 2))
            await puppet.say(done("large", value=large))
            await puppet.exited
            for attempt in (2, 3, 4):  # more workers than one attempt may lose by its own fault
                [fields, *_] = a.log.of("database_error")
                assert "No space left on device" in fields["error"] and "make room on its disk" in fields["error"]
                await innocent.say(do(count=attempt), done(count=attempt, value=attempt))
                assert (await innocent.hear())["op"] == "ok", "others go on"
                puppet = await a.puppets.next(row.id)
                await puppet.say(frame(op="resume", step=["do", "large", 1]))
                assert (await hears(puppet, "run"))["attempt"] == attempt
                await a.journal(row, has(ev.ATTEMPT_STARTED, 1 + attempt))
                if attempt == 4:
                    make_room(name)
                value = frame(op="done", step=["do", "large", 1], attempt=attempt, value=large)
                await puppet.say(value)
                if attempt != 4:
                    await puppet.exited
            await hears(puppet, "ok")
            for each in (puppet, innocent):
                await each.say(frame(op="finish", output="fine"))
            journal = await a.journal(row, ended)
            assert_dense(journal)
            assert [value for _, value in results(journal)] == ["small", large]
            assert journal[-1].data == {"output": "fine"}
            assert results(await a.journal(other, ended)) == [(2, 2), (3, 3), (4, 4)]
            assert len(a.log.of("commit_failed")) == 3 and not a.store.metrics.failing

    run(story())
