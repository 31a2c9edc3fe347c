"""Sleep and wait until moments that there are not: the end of the calendar in the east, before it in the west, not a
number, longer than anything.

Line: sleeping for ever
End: complete "all refused"
"""

from datetime import datetime, timedelta, timezone

from workers import WorkflowEntrypoint

EAST, WEST = timezone(timedelta(hours=-23, minutes=-59)), timezone(timedelta(hours=23, minutes=59))


class Zone(timezone.__base__):
    def utcoffset(self, moment):
        return timedelta(days=4_000_000) if moment else None

    def dst(self, moment):
        raise SystemExit("no summer")


class Moment(datetime):
    def timestamp(self):
        return float("nan")


class Span(timedelta):
    def total_seconds(self):
        return 1e308

    __truediv__ = __floordiv__ = lambda self, other: float("inf")


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        passed = []
        for number, way in enumerate(
            (
                lambda: step.sleep_until("x", datetime.max.replace(tzinfo=EAST)),
                lambda: step.sleep_until("x", datetime.max.replace(tzinfo=WEST)),
                lambda: step.sleep_until("x", datetime(9999, 12, 31, tzinfo=Zone())),
                lambda: step.sleep_until("x", Moment.now()),
                lambda: step.sleep_until("x", float("nan")),
                lambda: step.sleep_until("x", float("inf")),
                lambda: step.sleep_until("x", 10**400),
                lambda: step.sleep_until("x", 2**53 - 1),
                lambda: step.sleep("x", Span(days=999_999_999)),
                lambda: step.sleep("x", timedelta.max),
                lambda: step.sleep("x", timedelta.min),
                lambda: step.sleep("x", "9" * 5_000 + " years"),
                lambda: step.sleep("x", float("inf")),
                lambda: step.sleep("x", float("nan")),
                lambda: step.sleep("x", -1),
                lambda: step.wait_for_event("x", "x", timeout=10**30),
                lambda: step.wait_for_event("x", "x", timeout="1e999 days"),
                lambda: step.wait_for_event("x", "x", timeout=True),
            )
        ):
            try:
                await way()
                passed.append(number)
            except BaseException:
                pass
        return passed or "all refused"
