"""Tenants' secrets at rest, with the real server: what its files hold, how keys are made, changed and lost, and what is
said of it.
"""

import json
import re
import stat
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aio import story
from dispatch_support import output, workflow
from server_support import Server, ask
from test_cli import refused
from test_cli import run as playground

import playground as library
from playground import commands
from playground.settings import BadSetting
from playground.store import StoreError, open_store
from playground.store.encryption import Keyring, new_key

SECRET = "sk_live_9fQz7-never-in-a-file"
KEEPS = workflow(
    """
    @step.do("reads")
    async def reads():
        token = await self.env.SECRETS.get("TOKEN")
        await self.env.KV.put("kept", {"token": token})
        await self.env.EFFECTS.charge(5, note=token)
        print("with", token)
        return {"token": token}
    found = await reads()
    await step.wait_for_event("go", "go")
    kept = (await self.env.KV.get("kept"))["token"]
    secret = await self.env.SECRETS.get("TOKEN")
    return [found["token"] == secret, kept == secret, len(secret)]
    """
)


class Shop:
    """A server with one tenant, on a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'playground.db'}"
        self.keys = folder / "keys" / "secrets"
        self.keys.parent.mkdir()
        self.server: Server | None = None
        open_store(self.url).close_now()
        said = self.command("tenant-key", "create", "acme", "--database", self.url)
        self.key = said[0]

    def command(self, *words: str) -> list[str]:
        said: list[str] = []
        commands.run(words, {}, said.append)
        return said

    def start(self, *options: str) -> Server:
        self.server = Server(self.folder, *options)
        return self.server.start()

    def start_with_keys(self) -> Server:
        return self.start("--secrets-key-file", str(self.keys))

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        assert self.server is not None
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.server.url}/api/tenants/acme{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.read()

    def begin(self) -> None:
        """Set the secret and start a run that has used it everywhere by the time it waits."""
        self.ask("PUT", "/secrets/TOKEN", f'{{"value": "{SECRET}"}}'.encode())
        self.ask("PUT", "/workflow", _json({"source": KEEPS}))
        self.ask("POST", "/instances", _json({"id": "one"}))
        self.until("wait_started")

    def until(self, type: str) -> bytes:
        request = self.ask  # the journal is read again and again: each time with all that has been committed
        while f'"type":"{type}"'.encode() not in (text := request("GET", "/instances/one/events")):
            pass
        return bytes(text)

    def finish(self) -> bytes:
        """Let the run go on, in an execution that reads what was stored."""
        self.ask("POST", "/instances/one/events/go", b"null")
        self.until("workflow_completed")
        return bytes(self.ask("GET", "/instances/one"))

    def files(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.folder.glob("playground.db*"))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    if made.server is not None:
        made.server.kill()


GOOD = re.compile(rb'"output":\[true,true,%d\]' % len(SECRET))


def test_no_file_holds_a_secret_after_use_nor_after_a_kill_and_a_replay(shop: Shop) -> None:
    shop.command("secrets-key", "make", str(shop.keys))
    server = shop.start_with_keys()
    shop.begin()
    assert SECRET.encode() not in shop.files()
    server.kill()
    assert SECRET.encode() not in shop.files()
    shop.start_with_keys()
    assert GOOD.search(shop.finish())
    assert SECRET.encode() not in shop.files() and shop.server is not None
    assert ask(f"{shop.server.url}/healthz")["store"]["secrets"] == "encrypted"
    assert not any("secrets_plain" in line or SECRET in line for line in shop.server.printed)


def test_without_a_key_it_is_said_and_the_first_key_encrypts_what_is_there(shop: Shop) -> None:
    server = shop.start()
    shop.begin()
    assert SECRET.encode() in shop.files(), "else these tests can't fail"
    assert any(" secrets_plain level=info" in line for line in server.printed)
    assert ask(f"{server.url}/healthz")["store"]["secrets"] == "plain"
    assert ask(f"{server.url}/about")["secrets"] == "plain"
    server.kill()
    shop.command("secrets-key", "make", str(shop.keys))
    server = shop.start_with_keys()
    assert SECRET.encode() not in shop.files()
    assert sum(" secrets_encrypted level=info values=3 key=" in line for line in server.printed) == 1
    assert GOOD.search(shop.finish())


def test_with_a_wrong_key_or_none_the_server_says_which_is_missing_and_loses_nothing(shop: Shop) -> None:
    shop.command("secrets-key", "make", str(shop.keys))
    id = Keyring.parse(shop.keys.read_text(), "").ids[0]
    shop.start_with_keys()
    shop.begin()
    assert shop.server is not None
    shop.server.stop()
    for environment, why in (
        ({}, "no key is given"),
        ({"PLAYGROUND_SECRETS_KEY": new_key()}, "not among the keys given"),
    ):
        line = refused(playground(shop.folder, "--port", "0", "--database", shop.url, **environment))
        assert f"secrets encrypted with key {id}" in line and why in line and "secrets-key forget" in line
    shop.start("--secrets-key", f"{new_key()},{shop.keys.read_text().split()[-1]}")
    assert GOOD.search(shop.finish())


def test_keys_are_rotated_while_the_server_runs_and_the_old_one_is_not_needed_afterwards(shop: Shop) -> None:
    shop.command("secrets-key", "make", str(shop.keys))
    [old] = Keyring.parse(shop.keys.read_text(), "").ids
    server = shop.start_with_keys()
    shop.begin()
    said = shop.command("secrets-key", "make", str(shop.keys))
    new, _ = Keyring.parse(shop.keys.read_text(), "").ids
    assert f"Key {new} is the newest" in said[0] and "reencrypt" in said[0]
    again = ("secrets-key", "reencrypt", "--secrets-key-file", str(shop.keys), "--database", shop.url)
    with pytest.raises(commands.BadCommand, match=f"was not given key {new}: restart it"):
        shop.command(*again)
    server.stop()
    shop.start_with_keys()
    said = shop.command(*again)
    assert said == [
        f"3 values are encrypted anew, with key {new}.",
        f"Nothing here needs {old} any more. Backups from before still do.",
    ]
    assert shop.command(*again) == [f"0 values are encrypted anew, with key {new}."]
    assert shop.server is not None
    shop.server.stop()
    assert old.encode() not in (shop.folder / "playground.db").read_bytes()
    only_new = next(line for line in shop.keys.read_text().splitlines() if line and not line.startswith("#"))
    shop.keys.write_text(only_new)
    shop.start_with_keys()
    assert GOOD.search(shop.finish())


def test_after_a_lost_key_is_forgotten_the_server_starts_and_the_secret_is_not_there_rather_than_empty(
    shop: Shop,
) -> None:
    shop.command("secrets-key", "make", str(shop.keys))
    [id] = Keyring.parse(shop.keys.read_text(), "").ids
    shop.start_with_keys()
    shop.ask("PUT", "/secrets/TOKEN", f'{{"value": "{SECRET}"}}'.encode())
    with pytest.raises(commands.BadCommand, match="is served"):
        shop.command("secrets-key", "forget", id, "--database", shop.url)
    assert shop.server is not None
    shop.server.stop()
    with pytest.raises(commands.BadCommand, match="nothing in .* is encrypted with"):
        shop.command("secrets-key", "forget", "0123456789abcdef", "--database", shop.url)
    said = shop.command("secrets-key", "forget", id, "--database", shop.url)
    assert said[0] == "Secret TOKEN of tenant acme is removed; it has to be set again."
    assert f"Key {id} is forgotten" in said[1] and "the log names them (no_worker)" in said[1]
    shop.start()
    assert shop.ask("GET", "/secrets") == b'{"secrets":[]}'


def test_a_file_of_keys_is_made_for_its_owner_alone_and_refused_where_others_may_read_it(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    for count in (1, 2):
        commands.run(["secrets-key", "make", str(keys)], {}, lambda line: None)
        assert stat.S_IMODE(keys.stat().st_mode) == 0o600 and len(Keyring.parse(keys.read_text(), "").ids) == count
    keys.chmod(0o640)
    line = refused(playground(tmp_path, "--port", "0", "--secrets-key-file", str(keys)))
    assert "can be read by others than its owner (mode 0640); do `chmod 600" in line
    assert "cannot be read: No such file" in refused(
        playground(tmp_path, "--port", "0", "--secrets-key-file", "nowhere")
    )
    key = new_key()[:-3]
    line = refused(playground(tmp_path, "--port", "0", PLAYGROUND_SECRETS_KEY=key))
    assert "not 32 bytes in base64" in line and key not in line
    assert not (tmp_path / "playground.db").exists()


def test_a_command_about_keys_makes_no_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/not-there.db"
    for words in (["reencrypt"], ["forget", "0123456789abcdef"]):
        with pytest.raises(commands.BadCommand, match="there is no database"):
            commands.run(["secrets-key", *words, "--database", url], {"PLAYGROUND_SECRETS_KEY": new_key()})
    with pytest.raises(commands.BadCommand, match="there is no database .*start the server first"):
        commands.run(["tenant-key", "create", "acme", "--database", url], {})
    assert list(tmp_path.iterdir()) == []
    open_store(url).close_now()
    with pytest.raises(commands.BadCommand, match="there is no key to encrypt with"):
        commands.run(["secrets-key", "reencrypt", "--database", url], {})


@story
async def test_an_engine_in_a_program_encrypts_what_its_secrets_are_part_of(tmp_path: Path) -> None:
    url, key = f"sqlite:///{tmp_path}/flows.db", new_key()
    source = workflow('return len((await step.do("reads", lambda: self.env.SECRETS.get("TOKEN"))))')
    code = library.Code(source, env={"SECRETS": library.Secrets({"TOKEN": SECRET})})
    async with library.open_engine(url, secrets_key=key, parked_workers=1, synchronous="normal") as engine:
        flows = library.Dispatcher(engine, lambda metadata: code).wrap_binding({"tenant": "acme"})
        assert await output(await flows.create("one")) == len(SECRET)
        files = b"".join(path.read_bytes() for path in tmp_path.glob("flows.db*"))
        assert SECRET.encode() not in files and b"enc1:" in files
    with pytest.raises(StoreError, match="encrypted with key"):
        async with library.open_engine(url, parked_workers=1):
            pass
    with pytest.raises(BadSetting, match="not 32 bytes"):
        async with library.open_engine(url, secrets_key="x", parked_workers=1):
            pass


def test_about_says_on_the_page_whether_secrets_are_encrypted(shop: Shop) -> None:
    server = shop.start()
    request = urllib.request.Request(f"{server.url}/about", headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        assert "no key to encrypt them with" in reply.read().decode()
