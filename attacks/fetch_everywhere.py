"""Ask this machine, its neighbours and the cloud's metadata by fetch, in every way to write an address.

Line: requests that are let out lead nowhere inside
End: complete []
"""

from workers import WorkflowEntrypoint, fetch

HOSTS = (
    "127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 0 0.0.0.0 localhost LOCALHOST. "
    "localhost:8000 127.0.0.1:8000 [::1] [::1]:8000 [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] "
    "[64:ff9b::127.0.0.1] [64:ff9b::a9fe:a9fe] [2002:7f00:1::] [2002:a9fe:a9fe::] [::ffff:0:127.0.0.1] [fe80::1%25lo] "
    "[fe80::1%eth0] [fd00:ec2::254] 169.254.169.254 169.254.169.254. 2852039166 0xa9fea9fe 0251.0376.0251.0376 "
    "100.100.100.200 168.63.129.16 192.0.0.192 10.0.0.1 172.16.0.1 192.168.0.1 224.0.0.1 255.255.255.255 "
    "１２７.０.０.１ ①②⑦.⓪.⓪.① 127。0。0。1 ⓛocalhost localhost%00.example.org localhost%2eexample "
    "127.0.0.1%2f@example.org example.org@127.0.0.1 example.org:80@127.0.0.1 127.0.0.1#@example.org "
    "127.0.0.1\\@example.org example.org\\@127.0.0.1"
)
URLS = (
    "file:///etc/passwd", "unix:///var/run/docker.sock", "gopher://127.0.0.1:6379/_INFO", "dict://127.0.0.1:11211/",
    "ftp://127.0.0.1/", "http:127.0.0.1", "http:/127.0.0.1", "//127.0.0.1/", "http:///127.0.0.1", "http://\t127.0.0.1",
    "http://127.0.0.1\r\nHost: playground.example/", "http://playground.example\r\n@127.0.0.1/",
)  # fmt: skip
HEADERS = (
    {"Host": "127.0.0.1"},
    {"X-A": "b\r\nHost: 127.0.0.1"},
    {"Transfer-Encoding": "chunked"},
    {"Content-Length": "0"},
)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("ask everywhere")
        async def ask():
            reached = []

            async def attempt(what, *args, **options):
                try:
                    reached.append([what, (await fetch(*args, **options)).status])
                except Exception:
                    pass

            for host in HOSTS.split():
                for scheme in ("http", "https"):
                    await attempt(host, f"{scheme}://{host}/")
            for url in URLS:
                await attempt(url, url)
            for headers in HEADERS:
                await attempt(str(headers), "https://playground.example/orders/eve", headers=headers)
            for method in ("CONNECT", "TRACE", "GET http://127.0.0.1/ HTTP/1.1\r\n", "BREW"):
                await attempt(method, "https://playground.example/orders/eve", method=method)
            return reached

        return await ask()
