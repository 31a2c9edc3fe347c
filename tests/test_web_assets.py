"""Static files: addresses with their version, compression, and nothing beside them."""

from pathlib import Path

import pytest
from request_support import request

from playground.web.http.errors import NothingHere
from playground.web.pages.assets import FOR_GOOD, Assets


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    (tmp_path / "js").mkdir()
    (tmp_path / "js" / "main.js").write_text("// main\n" * 200)
    (tmp_path / "dot.png").write_bytes(b"\x89PNG" + bytes(2_000))
    assets = Assets({"": tmp_path})
    assets.refresh(0)
    return assets


def test_a_file_is_kept_for_good_only_under_its_own_version(assets: Assets) -> None:
    name = assets.url("js/main.js").removeprefix("/static/")
    assert assets.respond(request("GET"), name).headers["cache-control"] == FOR_GOOD
    for other in ("js/main.js", "v-000000000000/js/main.js"):
        assert assets.respond(request("GET"), other).headers["cache-control"] == "no-cache"


def test_a_file_is_compressed_for_who_can_read_it_and_not_sent_twice(assets: Assets) -> None:
    packed = assets.respond(request("GET", accept_encoding="gzip, br"), "js/main.js")
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < 100
    whole = assets.respond(request("GET"), "js/main.js")
    assert "content-encoding" not in whole.headers
    assert "content-encoding" not in assets.respond(request("GET", accept_encoding="gzip"), "dot.png").headers
    again = assets.respond(request("GET", if_none_match=whole.headers["etag"]), "js/main.js")
    assert (again.status_code, again.body) == (304, b"")


def test_a_changed_file_changes_every_address(assets: Assets, tmp_path: Path) -> None:
    before = assets.url("dot.png")
    (tmp_path / "js" / "main.js").write_text("// other")
    assets.refresh(500)
    assert assets.url("dot.png") == before
    assets.refresh(1_500)
    assert assets.url("dot.png") != before
    assert assets.respond(request("GET"), "js/main.js").body == b"// other"


@pytest.mark.parametrize("path", ["", "nothing.js", "../pyproject.toml", "js/../js/main.js", "v-x", "js"])
def test_nothing_but_the_files_is_served(assets: Assets, path: str) -> None:
    with pytest.raises(NothingHere):
        assets.respond(request("GET"), path)
