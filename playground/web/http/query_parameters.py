"""Numbers in an address's query."""

from starlette.requests import Request

from playground.store.protocol import InstanceRow
from playground.web.http.errors import BadQuery


def moment(request: Request, row: InstanceRow) -> int | None:
    """The seq that `at` of the address's query names, or None. Raises BadQuery."""
    if "at" not in request.query_params:
        return None
    try:
        return whole_number(request, "at", 0, least=1, most=row.last_seq)
    except BadQuery:
        raise BadQuery(
            f"`at` takes the seq of an event of this instance: a whole number from 1 to {row.last_seq}, its newest."
        ) from None


def whole_number(request: Request, name: str, default: int, *, least: int = 0, most: int = 2**53) -> int:
    """A number of the address's query. Raises BadQuery."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):
        raise BadQuery(f"`{name}` takes a whole number from {least} to {most}.")
    return int(text)
