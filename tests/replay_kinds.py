"""The kinds of programs that hypothesis writes for the property test of replay, and what each is made of."""

from collections.abc import Callable

from hypothesis import strategies as st
from replay_programs import ERRORS, Node, Program, written

LONGS = st.integers(0, 3)
NAMES = st.sampled_from([None, "fetch", "store"])
TYPES = st.sampled_from(["a", "b"])
DO = st.tuples(st.just("do"), LONGS, st.sampled_from([0, 0, 0, 1]), st.sampled_from([0, 2]), NAMES)
QUICK = st.tuples(st.just("quick"), NAMES)
SLEEP = st.tuples(st.just("sleep"), LONGS, st.sampled_from([None, "nap"]))
PAUSE = st.tuples(st.just("pause"), LONGS)
WAIT = st.tuples(st.just("wait"), TYPES, LONGS, st.sampled_from([None, "answer"]))
FAILS = st.tuples(st.just("fails"), LONGS)
HANG = st.tuples(st.just("hang"), LONGS, st.integers(1, 2))
FAULTY = st.tuples(st.just("do"), LONGS, st.just(1), st.sampled_from([0, 1, 2]), NAMES)
ERROR = st.tuples(
    st.just("error"), LONGS, st.sampled_from(sorted(ERRORS)), st.sampled_from(["caught", "returned", "group"])
)
INNER = st.lists(st.tuples(NAMES, LONGS), min_size=1, max_size=2)
NESTED = st.tuples(st.just("nested"), NAMES, INNER, st.integers(0, 1), st.booleans())
FEW = st.lists(LONGS, min_size=2, max_size=3)
PIPELINES = st.tuples(st.just("pipelines"), FEW, st.sampled_from(["own", "shared", "none"]))
ROUNDS = st.tuples(st.just("rounds"), st.lists(LONGS, min_size=2, max_size=2))
POLL = st.tuples(st.just("poll"), st.lists(LONGS, min_size=2, max_size=2))
TITLED = st.tuples(st.just("titled"), LONGS)
WORDS = st.lists(st.text("abcdefghij", min_size=1, max_size=4), min_size=2, max_size=6, unique=True)
SET = st.tuples(st.just("set"), WORDS, st.booleans())
PATCHED = st.tuples(st.just("patched"), NAMES)
LEAF = st.one_of(DO, DO, QUICK, SLEEP, PATCHED)


def sequences(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """One after another."""
    return st.tuples(st.just("sequence"), st.lists(inner, min_size=1, max_size=3))


def gathered(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """All at once."""
    return st.tuples(st.just("gather"), st.lists(inner, min_size=2, max_size=3))


def groups(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """All at once, and all over when one fails."""
    return st.tuples(st.just("group"), st.lists(st.one_of(inner, inner, FAILS), min_size=2, max_size=3))


def races(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Until the first is done or has failed, or each as it is done."""
    then = st.sampled_from(["call off", "join"])
    return st.one_of(
        st.tuples(st.just("first"), st.lists(inner, min_size=2, max_size=3), st.just("FIRST_COMPLETED"), then),
        st.tuples(
            st.just("first"),
            st.lists(st.one_of(inner, FAILS), min_size=2, max_size=3),
            st.just("FIRST_EXCEPTION"),
            then,
        ),
        st.tuples(st.just("each"), st.lists(inner, min_size=2, max_size=3), st.one_of(st.none(), LONGS)),
    )


def timeouts(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """For so long at most."""
    return st.tuples(st.just("timeout"), inner, LONGS, st.sampled_from(["timeout", "wait_for"]))


def cancels(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Called off once something else is done."""
    return st.one_of(st.tuples(st.just("cancel"), inner, LEAF), st.tuples(st.just("cleanup"), inner))


Grow = Callable[[st.SearchStrategy[Node]], st.SearchStrategy[Node]]


def grown(leaf: st.SearchStrategy[Node], *grow: Grow, leaves: int = 5) -> st.SearchStrategy[Node]:
    """Programs of these leaves, made in these ways; something made in the first way is in each of them."""
    inner = st.recursive(leaf, lambda nodes: st.one_of(*(one(nodes) for one in grow)), max_leaves=leaves)
    return st.tuples(st.just("sequence"), st.tuples(grow[0](inner), st.one_of(leaf, inner)).map(list))


NO_EVENTS: st.SearchStrategy[list[tuple[str, int]]] = st.just([])
EVENTS = st.lists(st.tuples(TYPES, st.integers(0, 5)), min_size=1, max_size=4)
ANY = st.one_of(LEAF, LEAF, WAIT, PAUSE, ERROR, NESTED, PIPELINES, POLL, FAULTY)

# What each kind is made of, and the events that are sent to it.
KINDS: dict[str, tuple[st.SearchStrategy[Node], st.SearchStrategy[list[tuple[str, int]]]]] = {
    "timers": (grown(st.one_of(DO, SLEEP, SLEEP, PAUSE, PAUSE), gathered, sequences), NO_EVENTS),
    "race": (grown(st.one_of(LEAF, PAUSE), races, sequences, gathered), NO_EVENTS),
    "cancel": (grown(st.one_of(LEAF, WAIT), cancels, groups, races, sequences), EVENTS),
    "timeout": (
        st.tuples(
            st.just("sequence"), st.tuples(grown(st.one_of(LEAF, PAUSE), timeouts, gathered, leaves=4), HANG).map(list)
        ),
        NO_EVENTS,
    ),
    "nested": (grown(st.one_of(NESTED, DO), sequences, gathered, leaves=4), NO_EVENTS),
    "names": (grown(st.one_of(PIPELINES, ROUNDS, POLL, TITLED, DO), sequences, gathered, leaves=3), NO_EVENTS),
    "sets": (grown(st.one_of(SET, DO), sequences, gathered, leaves=3), NO_EVENTS),
    "errors": (grown(st.one_of(ERROR, ERROR, FAULTY), sequences, gathered, groups, leaves=4), NO_EVENTS),
    "events": (grown(st.one_of(WAIT, WAIT, DO), races, cancels, gathered, sequences), EVENTS),
    "mixed": (grown(ANY, races, cancels, timeouts, groups, gathered, sequences, leaves=6), EVENTS),
}


def programs(kind: str) -> st.SearchStrategy[Program]:
    """Programs of a kind."""
    return st.builds(written, *KINDS[kind])
