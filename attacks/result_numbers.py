"""Return numbers on the edges of what JSON, JavaScript and SQLite hold, and compare them after they were stored and
read again.

Line: results whose serialisation misbehaves
End: complete "the same"
"""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from workers import WorkflowEntrypoint

EDGES = [
    -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e22, 0.1 + 0.2, 1e16, 123456789012345680.0,
    2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**3_999, True, False, None,
    "", "\x00", "\x7f\x85\u2028\u2029\ufeff\uffff", "\U0010ffff", "é", "e\u0301", {"": ""}, {"$int": "1"},
    {"$dict": {"$set": []}}, {"__proto__": 1}, {"constructor": {"prototype": 1}}, {"b": 1, "a": 2}, b"", b"\x00\xff",
    datetime.min, datetime.max, datetime.max.replace(tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23, minutes=59))), datetime(2026, 1, 1, fold=1), [[[[]]]], [{}],
    {1, 2.5, "x"},
]  # fmt: skip


def shown(value):
    return repr(sorted(map(repr, value))) if isinstance(value, set) else repr(value)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        wrong = []
        for number, edge in enumerate(EDGES):
            stored = await step.do(f"edge {number}", lambda edge=edge: edge)
            if shown(stored) != shown(edge).replace(", fold=1", ""):
                wrong.append(f"{edge!r:.50} became {stored!r:.50}")
        for value in (Decimal("NaN"), 1j, range(3), float("-inf"), (n for n in ()), type, ...):
            try:
                await step.do("refused", lambda value=value: value, config={"retries": {"limit": 0, "delay": 0}})
                wrong.append(f"{value!r:.50} was stored")
            except Exception:
                pass
        await step.sleep("away", 1)
        return wrong or "the same"
