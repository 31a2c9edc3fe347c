"""The draft's breakpoints: they follow the steps of the code through edits; the steps that no run stops before."""

from typing import Any

from page_code_support import node

from playground.analysis import inspect

HEAD = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
"""
SHOP = (
    HEAD
    + """\
        @step.do("charge")
        async def charge():
            @step.do("check card")
            async def check():
                return 1
            await step.sleep("think", "1 second")
            return await check()

        await step.do("pack", lambda: 1)
        await step.wait_for_event("ask", "go")
        await charge()
"""
)


def outline(source: str) -> list[dict[str, Any]]:
    return list(inspect(source)[1])


def followed(source: str, edited: str, *names: str, kind: str = "do") -> list[str]:
    return [
        each["step"]["name"]
        for each in node(
            """
            import { flatten } from "RUN/plan.js";
            import { followed } from "RUN/pending-stops.js";
            const [before, after] = given.texts.map(([source, outline]) => ({ source, flat: flatten(outline) }));
            return followed(given.stops, before, after);
            """,
            {
                "texts": [[text, outline(text)] for text in (source, edited)],
                "stops": [{"step": {"kind": kind, "name": name}} for name in names],
            },
        )
    ]


def test_a_breakpoint_goes_with_its_step_to_another_name_and_to_another_line() -> None:
    moved = SHOP.replace('await step.do("pack"', '# one more\n        # and one\n        await step.do("pack all"')
    assert followed(SHOP, moved, "pack", "charge") == ["pack all", "charge"]
    assert followed(SHOP, SHOP.replace('"ask"', '"ask them"'), "ask", kind="wait") == ["ask them"]
    assert followed(
        SHOP, SHOP.replace("async def charge", "async def bill").replace('"charge"', '"bill"'), "charge"
    ) == ["bill"]


def test_a_breakpoint_of_a_step_that_is_gone_takes_no_other_one() -> None:
    line = '        await step.do("pack", lambda: 1)\n'
    assert followed(SHOP, SHOP.replace(line, ""), "pack") == ["pack"]
    assert followed(SHOP, SHOP.replace(line, '        await step.sleep("pack", "1 second")\n'), "pack") == ["pack"]
    assert followed(SHOP, SHOP.replace(line, '        await step.do(f"pack {event}", lambda: 1)\n'), "pack") == ["pack"]
    swapped = SHOP.replace(line, "").replace("        await charge()\n", line + "        await charge()\n")
    assert followed(SHOP, swapped, "pack", "charge") == ["pack", "charge"]


def test_a_step_inside_another_one_is_known_before_a_run_and_leads_to_the_one_around_it() -> None:
    found = node(
        """
        import { flatten } from "RUN/plan.js";
        import { mayStop, whyNoStop } from "RUN/row-stop.js";
        const flat = flatten(given);
        const inside = (entry) => entry.inside.map(({ name }) => name);
        return flat.map((entry) => [entry.name, mayStop(entry), entry.parent && whyNoStop(entry), inside(entry)]);
        """,
        outline(SHOP),
    )
    assert found == [
        ["pack", True, None, []],
        ["ask", True, None, []],
        ["charge", True, None, ["think", "check card"]],
        ["check card", False, "No run stops inside a step: check card belongs to charge", []],
    ]
