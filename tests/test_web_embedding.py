"""Other sites may frame shared code where the operator says so, and nowhere else."""

import pytest
from http_support import HELLO, MakeSite, Site
from test_http_pages import BROWSER, page, words

from playground.cli import parse_command_line
from playground.settings import BadSetting, Settings
from playground.web.http.security import EMBEDDING_OFF, Embedding

PUBLIC = "https://play.example"


@pytest.mark.parametrize(
    ("settings", "on"),
    [
        ({}, False),
        ({"embeddable": "yes"}, True),
        ({"public_url": PUBLIC}, True),
        ({"public_url": PUBLIC, "embeddable": "no"}, False),
        ({"public_url": "http://192.0.2.7:8000"}, True),
        ({"public_url": "http://127.0.0.1:8000"}, False),
        ({"public_url": "http://localhost:8000"}, False),
        ({"public_url": "http://[::1]:8000"}, False),
        ({"public_url": "http://play.localhost"}, False),
        ({"public_url": "http://localhost:8000", "embeddable": "yes"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"allowed_hosts": "play.example"}, False),
    ],
)
def test_embedding_is_on_where_the_operator_says_so_or_a_public_url_leads_beyond_this_machine(
    settings: dict[str, str], on: bool
) -> None:
    decided = Embedding.from_settings(Settings(**settings), unprotected=False)
    assert (decided.on, bool(decided.why)) == (on, not on)


def test_without_isolation_it_is_never_on() -> None:
    for settings in (Settings(), Settings(public_url=PUBLIC), Settings(embeddable="no")):
        assert not Embedding.from_settings(settings, unprotected=True).on
    with pytest.raises(BadSetting, match="without isolation .* leave the option out"):
        Embedding.from_settings(Settings(embeddable="yes"), unprotected=True)


@pytest.mark.parametrize(
    ("arguments", "environment", "value"),
    [
        ([], {}, "auto"),
        (["--embeddable"], {}, "yes"),
        (["--embeddable", "--port", "1"], {}, "yes"),
        (["--embeddable=no"], {}, "no"),
        (["--embeddable", "auto"], {"PLAYGROUND_EMBEDDABLE": "yes"}, "auto"),
        ([], {"PLAYGROUND_EMBEDDABLE": "1"}, "yes"),
        ([], {"PLAYGROUND_EMBEDDABLE": "Off"}, "no"),
    ],
)
def test_the_option_alone_means_yes(arguments: list[str], environment: dict[str, str], value: str) -> None:
    assert parse_command_line(arguments, environment).embeddable == value


def test_the_option_takes_no_other_word() -> None:
    with pytest.raises(BadSetting, match="--embeddable is 'maybe'; it takes auto or yes or no"):
        parse_command_line(["--embeddable", "maybe"], {})


@pytest.fixture(scope="module")
def closed(make_shared_site: MakeSite) -> Site:
    return make_shared_site()


@pytest.fixture(scope="module")
def embeddable(make_shared_site: MakeSite) -> Site:
    return make_shared_site(embeddable="yes")


def ancestors(site: Site, path: str, status: int = 200) -> str:
    policy = page(site, path, status).headers["content-security-policy"]
    return policy.partition("frame-ancestors ")[2].partition(";")[0]


def test_where_it_is_on_the_embed_view_may_be_framed_and_nothing_else(embeddable: Site) -> None:
    link = embeddable.share(HELLO)
    for view in (link + "/embed", link + "/embed?readonly"):
        assert ancestors(embeddable, view) == "*"
        assert "cross-origin-opener-policy" not in page(embeddable, view).headers
    for path in ("/", link, "/tenants", "/about", "/examples/hello", "/new?source=x"):
        assert ancestors(embeddable, path) == "'none'", path
    assert ancestors(embeddable, "/s/nothing/embed", 404) == "'none'"


def test_elsewhere_only_our_own_pages_may_frame_the_embed_view(closed: Site) -> None:
    link = closed.share(HELLO)
    assert ancestors(closed, link + "/embed") == ancestors(closed, link + "/embed?readonly") == "'self'"
    headers = page(closed, link + "/embed").headers
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    for path in ("/", link, "/tenants", "/new?source=x"):
        assert ancestors(closed, path) == "'none'", path


def test_the_share_dialog_offers_a_frame_or_says_how_to_turn_it_on(closed: Site, embeddable: Site) -> None:
    on, off = (site.client.get("/", headers=BROWSER).text for site in (embeddable, closed))
    assert 'aria-label="Frame to embed"' in on and "share-no-embed" not in on
    assert 'aria-label="Frame to embed"' not in off
    assert EMBEDDING_OFF.replace("`", "") in words(off) and "<code>--embeddable</code>" in off
