"""The bundle's files: their addresses, their compressed forms, and nothing beside them."""

import gzip
import json
import re
from pathlib import Path

import pytest
from request_support import request

from playground import paths
from playground.web.http.errors import NotFound
from playground.web.http.responses import IMMUTABLE
from playground.web.pages.assets import Assets

MAIN = b"// main\n" * 200
MANIFEST = {
    "js/main.js": {"file": "js/main-A1.js", "imports": ["js/chunk-B2.js"], "later": {"js/late.js": ["js/late-C3.js"]}},
    "dot.png": {"file": "dot-D4.png"},
}


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    (tmp_path / "js").mkdir()
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    for name in ("main-A1.js", "chunk-B2.js", "late-C3.js", "main-A1.js.map"):
        (tmp_path / "js" / name).write_bytes(MAIN)
    (tmp_path / "js" / "main-A1.js.gz").write_bytes(gzip.compress(MAIN))
    (tmp_path / "js" / "main-A1.js.map.gz").write_bytes(gzip.compress(MAIN))
    (tmp_path / "js" / "main-A1.js.br").write_bytes(b"made by the build")
    (tmp_path / "dot-D4.png").write_bytes(b"\x89PNG" + bytes(2_000))
    return Assets.from_folder(tmp_path)


def test_a_name_means_a_file_and_what_that_needs(assets: Assets) -> None:
    assert assets.url("js/main.js") == "/static/js/main-A1.js"
    assert assets.imports_of("js/main.js") == ["/static/js/chunk-B2.js"]
    assert assets.imports_of("js/main.js", "js/late.js") == ["/static/js/late-C3.js"]
    assert assets.imports_of("dot.png") == []


@pytest.mark.parametrize("name", ["js/main-A1.js", "js/main-A1.js.map", "dot-D4.png"])
def test_a_file_is_kept_for_good_and_not_sent_twice(assets: Assets, name: str) -> None:
    whole = assets.asset_response(request("GET"), name)
    assert whole.headers["cache-control"] == IMMUTABLE
    again = assets.asset_response(request("GET", if_none_match=whole.headers["etag"]), name)
    assert (again.status_code, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate, br, zstd", "br"), ("gzip, deflate", "gzip"), ("brotli", None), ("identity", None), ("", None)],
)
def test_a_file_is_sent_in_the_smallest_form_that_can_be_read(
    assets: Assets, accepted: str, encoding: str | None
) -> None:
    answer = assets.asset_response(request("GET", accept_encoding=accepted), "js/main-A1.js")
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.body == {"br": b"made by the build", "gzip": gzip.compress(MAIN), None: MAIN}[encoding]


def test_what_was_not_compressed_is_sent_as_it_is(assets: Assets) -> None:
    assert (
        "content-encoding"
        not in assets.asset_response(request("GET", accept_encoding="gzip, br"), "dot-D4.png").headers
    )
    assert (
        assets.asset_response(request("GET", accept_encoding="gzip, br"), "js/main-A1.js.map").headers[
            "content-encoding"
        ]
        == "gzip"
    )


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nothing.js",
        "../pyproject.toml",
        "js/../js/main-A1.js",
        "js",
        "js/main.js",
        "manifest.json",
        "js/main-A1.js.gz",
        "js/main-A1.js.br",
    ],
)
def test_nothing_but_the_files_is_served(assets: Assets, path: str) -> None:
    with pytest.raises(NotFound):
        assets.asset_response(request("GET"), path)


def test_an_installation_without_the_bundle_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "BUNDLE_PACKAGE", "playground_bundle_that_is_not_there")
    with pytest.raises(paths.MissingFiles, match="install the package again"):
        paths.bundle()


def test_every_script_and_style_of_the_build_has_its_source_map() -> None:
    assets = Assets.from_folder(paths.bundle())
    written = [name for name in assets.files if name.endswith((".js", ".css"))]
    assert len(written) > 20
    for name in written:
        text = assets.asset_response(request("GET"), name).body.decode()
        (map_,) = re.findall(r"# sourceMappingURL=(\S+?\.map)", text[-200:])
        found = json.loads(assets.asset_response(request("GET"), f"{name.rpartition('/')[0]}/{map_}").body)
        assert len(found["sources"]) == len(found["sourcesContent"])
        assert all(source.startswith(("../", "unused:")) for source in found["sources"]), name


def test_the_scripts_keep_the_names_of_their_functions() -> None:
    """A trace that somebody reports can be read as it is."""
    assets = Assets.from_folder(paths.bundle())
    app = assets.asset_response(request("GET"), assets.url("js/app.js").removeprefix("/static/")).body.decode()
    assert {"started", "called", "nowStored"} <= set(re.findall(r"function (\w+)\(", app))
    assert max(map(len, app.splitlines())) < 1_000


def test_a_page_asks_for_few_files() -> None:
    """What the page needs is in two files of its own and two of the editor; what is loaded later adds a few."""
    assets = Assets.from_folder(paths.bundle())
    assert {name: len(entry.imports) for name, entry in assets.entries.items() if entry.imports} == {
        "js/app.js": 1,
        "js/embed.js": 1,
        "js/compare.js": 2,
        "js/pick-runs.js": 2,
        "js/tenants/all.js": 1,
        "js/tenants/make.js": 1,
        "editor/editor.js": 1,
    }
    assert max(len(files) for entry in assets.entries.values() for files in entry.later.values()) <= 4
