"""After every event of a journal the rows say what the fold for people says: status, steps, deadlines, what is set on
it.

The rows are what scheduling and replay go by, the fold is what people see; both apply the rules of
`workflows/event_rules.py`, each in its own way. The journals are those that the page's fold is held to as well
(tests/test_page_fold.py), so that all three agree after every event.
"""

import json
from pathlib import Path

import pytest
from folds_support import Rows, from_json, rows_say, state_says

from playground.workflows.state import State

JOURNALS = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "journals").glob("*.json"))
}
INVENTED = {"limit-broken"}  # begins in the middle


@pytest.mark.parametrize("name", [name for name in JOURNALS if name not in INVENTED])
def test_rows_and_the_fold_for_people_agree_after_every_event(name: str) -> None:
    first, *more = from_json(JOURNALS[name])
    rows, state = Rows(first), State()
    state.apply(first)
    for event in more:
        rows.take(event)
        state.apply(event)
        assert rows_say(rows) == state_says(state), f"after event {event.seq}, {event.type}"
