"""Tags: words that a run is found by, such as an order's number.

Whoever creates a run gives it tags, and its code adds some with `step.tag`. A run has at most `tags_per_run`
(settings), each of 1 to 100 characters that can be printed, without white space at its ends. A tag is added once, stays
through restarts, and goes with the run. Which tags a run has makes no difference to how it runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from playground.workflows.errors import InvalidTag

TAG_LENGTH = 100  # characters
TAGS = "tags"  # of a create


def is_tag(tag: object) -> bool:
    """Whether this can be a tag."""
    return isinstance(tag, str) and 0 < len(tag) <= TAG_LENGTH and tag.isprintable() and tag == tag.strip()


def check_tag(tag: object) -> str:
    """Raises InvalidTag unless this can be a tag."""
    if not is_tag(tag):
        shown = ascii(tag[:40] if isinstance(tag, str) else type(tag).__name__)
        raise InvalidTag(
            f"The tag {shown} can't be used: a tag is text of 1 to {TAG_LENGTH} characters that can be printed, "
            "without white space at its ends."
        )
    return str.__str__(tag)


def check_tags(tags: object, most: int) -> tuple[str, ...]:
    """The tags of a new run, each once. Raises InvalidTag."""
    if isinstance(tags, (str, bytes)) or not isinstance(tags, Iterable):
        raise InvalidTag("Tags are a list of texts.")
    found = tuple(dict.fromkeys(map(check_tag, tags)))
    if len(found) > most:
        raise InvalidTag(too_many(most), setting="tags_per_run")
    return found


def too_many(most: int) -> str:
    """The sentence about a run with too many tags."""
    return f"A run has at most {most:,} tags. Put what differs more into its params, or into the name of a step."


def tags_of(injected: Mapping[str, Any] | None) -> Sequence[str]:
    """The tags of an instance, by `injected` in its row."""
    found: Sequence[str] = (injected or {}).get("tags", ())
    return found


def tags_after(tags: Sequence[str], added: Iterable[str]) -> list[str]:
    """The tags of an instance after some were added."""
    return list(dict.fromkeys((*tags, *added)))
