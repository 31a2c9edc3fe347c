"""An HTTP server that misbehaves in every way that the guarded client has to bear, over real sockets.

Each path is one way. `Names` is a resolver that gives the server's address for the names that a test knows.
"""

import asyncio
import contextlib
import gzip
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = (IPv4Network("127.0.0.1/32"),)  # what the tests allow the client to reach
Handler = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]


class Names:
    """A resolver: for each name a row of answers, one for each time it is asked; the last one stays."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("__", "."): list(rows) for name, rows in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        rows = self.answers.get(host, [["127.0.0.1"]])
        return rows.pop(0) if len(rows) > 1 else rows[0]

    def close(self) -> None:
        self.answers.clear()


class Request:
    """What was received, for a test to look at."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = first.split(" ")
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
        }
        self.body = b""


class BadServer:
    """Runs while it is entered. `seen` are the requests, `connections` how many sockets were opened."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Request] = []
        self.connections = 0
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.names: list[str | None] = []  # that TLS was asked for

    async def __aenter__(self) -> Self:
        if self._tls is not None:
            self._tls.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                request = Request((await reader.readuntil(b"\r\n\r\n"))[:-4])
                request.body = await reader.readexactly(int(request.headers.get("content-length", 0)))
                self.seen.append(request)
                await self._answer(request, writer)
                await writer.drain()
                if writer.is_closing():
                    break
        writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        name, _, argument = request.path.strip("/").partition("/")
        await getattr(self, f"_{name.replace('-', '_')}")(request, writer, argument)

    async def _echo(self, request: Request, writer: asyncio.StreamWriter, _: str) -> None:
        seen = {"method": request.method, "headers": request.headers, "body": request.body.decode("latin-1")}
        send(writer, json.dumps(seen).encode(), "content-type: application/json")

    async def _status(self, _request: Request, writer: asyncio.StreamWriter, code: str) -> None:
        send(writer, b"" if code == "204" else b"so it is", status=f"{code} So")

    async def _redirect(self, _request: Request, writer: asyncio.StreamWriter, to: str) -> None:
        code, _, url = to.partition("/")
        send(writer, b"elsewhere", f"location: {url}", status=f"{code} Elsewhere")

    async def _round(self, request: Request, writer: asyncio.StreamWriter, number: str) -> None:
        send(writer, b"", f"location: /round/{int(number) + 1}", status="302 Found")

    async def _endless(self, _request: Request, writer: asyncio.StreamWriter, _: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    async def _endless_headers(self, _request: Request, writer: asyncio.StreamWriter, _: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x-more: " + b"y" * 1000 + b"\r\n")
            await writer.drain()

    async def _endless_hints(self, _request: Request, writer: asyncio.StreamWriter, _: str) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0)

    async def _slow(self, _request: Request, writer: asyncio.StreamWriter, what: str) -> None:
        begun = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx"
        writer.write({"connect": b"", "head": b"HTTP/1.1 200", "body": begun}[what])
        await writer.drain()
        await asyncio.Event().wait()

    async def _bomb(self, _request: Request, writer: asyncio.StreamWriter, kind: str) -> None:
        squeeze = {"gzip": gzip.compress, "deflate": zlib.compress, "raw": raw_deflate}[kind]
        coding = "gzip" if kind == "gzip" else "deflate"
        send(writer, squeeze(bytes(50_000_000)), f"content-encoding: {coding}")

    async def _packed(self, _request: Request, writer: asyncio.StreamWriter, kind: str) -> None:
        text = b"as it was " * 20_000
        packed = {"gzip": gzip.compress(text), "deflate": zlib.compress(text), "raw": raw_deflate(text)}
        packed |= {"cut": gzip.compress(text)[:-12], "more": gzip.compress(text) + b"rubbish", "no": b"no gzip at all"}
        coding = "deflate" if kind in ("deflate", "raw") else "gzip"
        send(writer, packed[kind], f"content-encoding: {coding}")

    async def _coding(self, _request: Request, writer: asyncio.StreamWriter, coding: str) -> None:
        send(writer, b"abc", f"content-encoding: {coding}")

    async def _short(self, _request: Request, writer: asyncio.StreamWriter, _: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\ntoo short")
        writer.close()

    async def _long(self, _request: Request, writer: asyncio.StreamWriter, _: str) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmoreHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"
        )

    async def _lengths(self, _request: Request, writer: asyncio.StreamWriter, _: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nmore")

    async def _headers(self, _request: Request, writer: asyncio.StreamWriter, count: str) -> None:
        send(writer, b"ok", *(f"x-{number}: y" for number in range(int(count))))

    async def _large_headers(self, _request: Request, writer: asyncio.StreamWriter, size: str) -> None:
        send(writer, b"ok", f"x-large: {'y' * int(size)}")

    async def _rubbish(self, _request: Request, writer: asyncio.StreamWriter, _: str) -> None:
        writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        writer.close()

    async def _upgrade(self, _request: Request, writer: asyncio.StreamWriter, _: str) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\n\r\n")

    async def _gone(self, _request: Request, writer: asyncio.StreamWriter, _: str) -> None:
        writer.close()

    async def _cookie(self, request: Request, writer: asyncio.StreamWriter, _: str) -> None:
        send(writer, request.headers.get("cookie", "none").encode(), "set-cookie: a=b")


def send(writer: asyncio.StreamWriter, body: bytes, *headers: str, status: str = "200 OK") -> None:
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers))
    writer.write(head.encode("latin-1") + b"\r\n" + body)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@contextlib.asynccontextmanager
async def tls_server(folder: Path, name: str) -> AsyncIterator[tuple[BadServer, ssl.SSLContext]]:
    """A server with a certificate for `name`, and what a client trusts that is to believe it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(pem + secret)
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(folder / "server.pem")
    async with BadServer(server_side) as server:
        yield server, ssl.create_default_context(cadata=pem.decode())
