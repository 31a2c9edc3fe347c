"""How smooth the page is: a run of 15,000 events and 10,000 log lines, and one of 25,000 steps, in a real browser,
beside a page with an empty list of that size.

    ./run python bench/page.py                      everything (about two minutes)
    ./run python bench/page.py load scroll          only some: first slow load value wide scroll scrub type

`cpu` is the processor time that the page's main thread takes for a frame (scripts, style, layout, paint records), read
from the browser's own trace: 16.7 ms of it fit into a frame at 60 a second. It is what can be compared, as it does not
count the time that others have the processor. `between` are the distances of the frames that were shown, and `dropped`
how many of them were more than one and a half frames apart; they depend on the machine, where a browser without a
graphics card draws each frame by hand. The bare page is measured in turns with ours. `first` is what a first visit
loads: requests, and bytes on the wire with their headers. `slow` is a first visit over a line of 400 kbit/s whose
answers begin 400 ms late. `wide` is the run of 25,000 steps: when a press on one of its
rows is answered, and what the tab holds then, after a collection. `type` is the time from a key to the frame that shows
it, while 2,000 events a second arrive. `value` opens a result of 900 KB, and searches it.
"""

import bisect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browser_support import launch
from playwright.sync_api import Browser, Locator, Page, sync_playwright

EVENTS, LINES = 15_000, 10_000
WIDE_STEPS = 25_000
WIDE_EVENTS = 4 * WIDE_STEPS + 5
FRAMES = 150  # of each scroll
SCROLL_PX = 180  # a frame: a fast wheel
FAST_PX = 2_400  # a frame: the scrollbar dragged
SCRUB = 37  # events a frame
RATE, SECONDS, KEY_EVERY_MS = 2_000, 7, 60
FRAME_MS = 1000 / 60
LINE, LATENCY_MS = 400_000 / 8, 400  # bytes a second, and until an answer begins
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
NOTE_EDITOR = """new MutationObserver((_, seen) => {
    if (!document.querySelector(".cm-content[contenteditable=true]")) return;
    window.editorAt = performance.now();
    seen.disconnect();
}).observe(document, { subtree: true, childList: true, attributes: true });"""
VIEWS = {"timeline": "[data-part=timeline]", "journal": "#view-journal", "logs": "#view-logs", "replay": "#view-lens"}
TABS = {"journal": "Journal", "logs": "Logs", "replay": "Replay"}
SHOWN = "last => document.querySelector('[data-part=scrub-range]')?.max === String(last)"
GROUP = "#tl-steps .row.group .row-name"
OPENED = "document.querySelector('#view-step header, #tl-steps [aria-expanded=true]')"
BARE = (
    "<!doctype html><style>div{height:400px;overflow:auto}ol{height:%dpx;margin:0}</style>"
    "<div id=list><ol></ol></div><textarea id=field></textarea>"
)

CATEGORIES = ["devtools.timeline", "toplevel"]
KINDS = {
    "script": ("FunctionCall", "EvaluateScript"),
    "layout": ("UpdateLayoutTree", "Layout"),
    "paint": ("PrePaint", "Paint", "Layerize", "Commit"),
}

MEASURE = """
window.frames = (count, each) => new Promise((resolve) => {
  const between = [];
  let last = 0;
  const frame = (at) => {
    if (last) between.push(at - last);
    last = at;
    if (between.length >= count) return resolve(between);
    each(between.length);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
});
window.scrolled = (selector, px) => {
  const list = document.querySelector(selector);
  let step = px;
  list.scrollTop = 0;
  return frames(FRAMES, () => {
    if (list.scrollTop + list.clientHeight >= list.scrollHeight - 1) step = -px;
    else if (list.scrollTop === 0) step = px;
    list.scrollTop += step;
  });
};
window.typed = (selector) => {
  const field = document.querySelector(selector), taken = [], channel = new MessageChannel(), pressed = [];
  channel.port1.onmessage = () => taken.push(performance.now() - pressed.shift());
  field.addEventListener("keydown", (event) => {
    pressed.push(event.timeStamp);
    requestAnimationFrame(() => channel.port2.postMessage(0));
  }, true);
  return taken;
};
0;
""".replace("FRAMES", str(FRAMES))


@contextmanager
def server() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, str(Path(__file__).with_name("page_server.py"))]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        if not address:
            raise SystemExit("bench/page_server.py did not start; run it by itself to see why")
        yield address, process
    finally:
        process.communicate(timeout=20)


@dataclass
class Trace:
    """Milliseconds of processor time on the page's main thread: of each task, of those among them that make a frame,
    and by kind.
    """

    tasks: list[float]
    frames: list[float]
    kinds: dict[str, float]


def traced(browser: Browser, page: Page, action: Callable[[], Any]) -> tuple[Any, Trace]:
    """What `action` returns, and what it cost."""
    browser.start_tracing(page=page, categories=CATEGORIES)
    result = action()
    events = json.loads(browser.stop_tracing())["traceEvents"]
    main = {
        (it["pid"], it["tid"])
        for it in events
        if it["name"] == "thread_name" and it["args"]["name"] == "CrRendererMain"
    }
    mine = [it for it in events if it.get("ph") == "X" and "tdur" in it and (it["pid"], it["tid"]) in main]
    pid = max(main, key=lambda one: sum(it["tdur"] for it in mine if (it["pid"], it["tid"]) == one))
    mine = [it for it in mine if (it["pid"], it["tid"]) == pid]
    tasks = sorted((it["ts"], it["tdur"] / 1000) for it in mine if it["name"] == "ThreadControllerImpl::RunTask")
    starts = [at for at, _ in tasks]
    framed = {bisect.bisect_right(starts, it["ts"]) - 1 for it in mine if it["name"] == "FireAnimationFrame"}
    kinds = {kind: sum(it["tdur"] for it in mine if it["name"] in names) / 1000 for kind, names in KINDS.items()}
    return result, Trace([ms for _, ms in tasks], [tasks[index][1] for index in sorted(framed)], kinds)


def spread(values: list[float]) -> str:
    ordered = sorted(values)
    return " ".join(f"{ordered[min(len(ordered) - 1, int(len(ordered) * part))]:7.1f}" for part in (0.5, 0.95, 1.0))


def show(what: str, between: list[float], trace: Trace) -> None:
    late = sum(1 for gap in between if gap > 1.5 * FRAME_MS)
    over = sum(1 for ms in trace.frames if ms > FRAME_MS)
    kinds = " ".join(f"{ms / len(trace.frames):6.1f}" for ms in trace.kinds.values())
    print(
        f"{what:26} {spread(trace.frames)}   {over:4}   {kinds}   {spread(between)}   {late:3} of {len(between)}",
        flush=True,
    )


def heading(words: str) -> None:
    print(
        f"\n{words:26} {'cpu, ms: p50   p95   max':>23}   >16.7  script layout paint"
        "   between: p50   p95   max   dropped"
    )


def opened(browser: Browser, address: str, last: int = 0) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.add_init_script(MEASURE)
    page.goto(address)
    if last:
        page.wait_for_function(SHOWN, arg=last)
    return page


def bare(browser: Browser, height: int) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_content(BARE % height)
    page.evaluate(MEASURE)
    return page


def first(browser: Browser, base: str, _: object) -> None:
    """What a browser loads that was never here, until it asks for nothing more; and then for a run."""
    for path in ("/", "/examples", "/tenants", "/about"):
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        network = page.context.new_cdp_session(page)
        network.send("Network.enable")
        bytes_: list[int] = []
        network.on("Network.loadingFinished", lambda event, bytes_=bytes_: bytes_.append(event["encodedDataLength"]))
        page.goto(base + path)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1_000)  # what is asked for once the page is at rest
        print(f"first load of {path}: {len(bytes_)} requests, {sum(bytes_) / 1000:.1f} KB", flush=True)
        if path == "/":
            before = len(bytes_), sum(bytes_)
            page.locator("[data-run]:visible").first.click()
            page.wait_for_timeout(2_000)
            print(
                f"    a run, then: {len(bytes_) - before[0]} requests, {(sum(bytes_) - before[1]) / 1000:.1f} KB",
                flush=True,
            )
        page.context.close()


def slow(browser: Browser, base: str, _: object) -> None:
    """A first visit over a slow line: text, a press on Run at the first paint, and the editor taking keys."""
    for press in (False, True):
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        network = page.context.new_cdp_session(page)
        network.send("Network.enable")
        line = {"offline": False, "latency": LATENCY_MS, "downloadThroughput": LINE, "uploadThroughput": LINE}
        network.send("Network.emulateNetworkConditions", line)
        page.add_init_script(NOTE_EDITOR)
        page.goto(base, wait_until="commit")
        text = page.wait_for_function(PAINTED).json_value()
        said = f"text at {text:.0f} ms"
        if press:
            page.locator("[data-run]:visible").first.click()
            pressed = page.evaluate("performance.now()")
            page.wait_for_url("**/instances/*")
            said += f", Run pressed at {pressed:.0f} ms, the run shown at {page.evaluate('performance.now()'):.0f} ms"
        editor = page.wait_for_function("() => window.editorAt").json_value()
        print(f"{LINE * 8 / 1000:.0f} kbit/s, {LATENCY_MS} ms: {said}, editor at {editor:.0f} ms", flush=True)
        page.context.close()


def load(browser: Browser, base: str, _: object) -> None:
    """From the address to the last event shown."""
    for words in (f"load, {EVENTS:,} events", "  again"):
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()

        def go(page: Page = page) -> float:
            page.goto(f"{base}/instances/long")
            page.wait_for_function(SHOWN, arg=EVENTS)
            return float(page.evaluate("performance.now()"))

        taken, trace = traced(browser, page, go)
        kinds = ", ".join(f"{name} {ms:.0f}" for name, ms in trace.kinds.items())
        print(
            f"{words}: all shown after {taken:.0f} ms; main thread {sum(trace.tasks):.0f} ms ({kinds}), "
            f"longest task {max(trace.tasks):.0f} ms"
        )
        page.context.close()


def value(browser: Browser, base: str, _: object) -> None:
    """A large result: until the run is shown, until it is opened, each of its halves, and a search in it."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.add_init_script(MEASURE)
    result = page.locator("#view-step .tree-view")

    def row(name: str) -> Locator:
        return result.get_by_role("treeitem", name=name)

    acts: dict[str, Callable[[], Any]] = {
        "load": lambda: (page.goto(f"{base}/instances/large"), page.locator(".end .tree-view").wait_for()),
        "open the step": lambda: (page.locator("#tl-steps .row-name").click(), row("items").wait_for()),
        "unfold its list": lambda: (row("items").click(), row("499").count()),
        "unfold its text": lambda: (row("items").click(), row("page").click(), page.evaluate("frames(3, () => {})")),
        "all of the text": lambda: (
            result.locator(".tree").press("End"),
            result.get_by_role("button", name="All").click(),
        ),
        "scroll it": lambda: page.evaluate(f"scrolled('#view-step .tree-box', {FAST_PX})"),
        "search": lambda: (
            page.locator("#view-step").get_by_role("button", name="Search this value").click(),
            result.get_by_role("searchbox").fill("receipt</p>"),
            page.wait_for_function("() => document.querySelector('#view-step .tree-find [role=status]').textContent"),
        ),
        "journal, its event": lambda: (
            page.get_by_role("tab", name="Journal").click(),
            page.get_by_role("button", name="step_completed").click(),
            page.locator(".j-json .t-row").first.wait_for(),
        ),
    }
    print("\na result of 900 KB         longest task, cpu ms")
    for words, act in acts.items():
        _, trace = traced(browser, page, act)
        print(f"{words:26} {max(trace.tasks):6.0f}", flush=True)
    page.context.close()


def wide(browser: Browser, base: str, _: object) -> None:
    """25,000 steps: from the address to a row that a press has opened, and what the tab holds. Not traced: that costs
    as much as the page does.
    """
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    session = page.context.new_cdp_session(page)
    session.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    session.send("Performance.enable")
    page.goto(f"{base}/instances/wide", wait_until="commit")
    page.locator("#tl-steps .row-name").first.wait_for()
    began = page.evaluate("performance.now()")
    page.wait_for_function(SHOWN, arg=WIDE_EVENTS, polling=50)
    shown = page.evaluate("performance.now()")
    page.locator("#tl-steps .row-name").last.click()
    page.wait_for_function(OPENED, polling=10)
    usable = page.evaluate("performance.now()")
    busy = {it["name"]: it["value"] for it in session.send("Performance.getMetrics")["metrics"]}["TaskDuration"]
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    print(
        f"{WIDE_STEPS:,} steps: first rows after {began:.0f} ms, all shown after {shown:.0f} ms, "
        f"a press answered after {usable:.0f} ms; "
        f"main thread {busy:.2f} s of processor time; heap {heap:.0f} MB",
        flush=True,
    )
    page.context.close()


def scroll(browser: Browser, base: str, _: object) -> None:
    page, peer = opened(browser, f"{base}/instances/long", EVENTS), bare(browser, EVENTS * 24)
    for px, how in ((SCROLL_PX, "wheel"), (FAST_PX, "scrollbar")):
        heading(f"scroll, {how}, {px} px")
        show("bare page", *traced(browser, peer, lambda: peer.evaluate(f"scrolled('#list', {px})")))  # noqa: B023
        for view, selector in VIEWS.items():
            if view in TABS:
                page.get_by_role("tab", name=TABS[view]).click()
            show(view, *traced(browser, page, lambda: page.evaluate(f"scrolled('{selector}', {px})")))  # noqa: B023
            if view == "timeline":
                folded, unfolded = page.locator(GROUP), lambda: page.evaluate(f"scrolled('{VIEWS['timeline']}', {px})")  # noqa: B023
                folded.press("ArrowRight")
                show("timeline, unfolded", *traced(browser, page, unfolded))
                page.locator(selector).evaluate("node => node.scrollTo(0, 0)")
                folded.press("ArrowLeft")
        show("bare page, again", *traced(browser, peer, lambda: peer.evaluate(f"scrolled('#list', {px})")))  # noqa: B023
    page.context.close()
    peer.context.close()


def scrub(browser: Browser, base: str, _: object) -> None:
    page = opened(browser, f"{base}/instances/long", EVENTS)
    heading(f"scrub, {SCRUB} events a frame")
    ways = {
        "forward": f"1 + turn * {SCRUB}",
        "back": f"{EVENTS} - 1 - turn * {SCRUB}",
        "anywhere": f"1 + (turn * 7919) % {EVENTS - 2}",
    }
    for view, tab in TABS.items():
        page.get_by_role("tab", name=tab).click()
        for way, seq in ways.items():
            move = (
                "(turn) => { const slider = document.querySelector('[data-part=scrub-range]'); "
                f"slider.value = {seq}; slider.dispatchEvent(new Event('input')); }}"
            )
            show(f"{way}, {view}", *traced(browser, page, lambda: page.evaluate(f"frames({FRAMES}, {move})")))  # noqa: B023
    page.context.close()


def type_(browser: Browser, base: str, process: subprocess.Popen[str]) -> None:
    page, peer = opened(browser, f"{base}/instances/living"), bare(browser, EVENTS * 24)
    page.get_by_role("tab", name="Journal").wait_for()
    print(
        f"\n{'key to paint':38} {'ms: p50   p95   max':>23}   keys   "
        f"{'task, cpu ms: p50   p95   max':>23}   main thread busy"
    )

    def press(what: str, page: Page, selector: str, during: float) -> None:
        kept = page.evaluate_handle(f"typed('{selector}')")
        page.locator(selector).focus()

        def keys() -> None:
            for number in range(int(during * 1000 / KEY_EVERY_MS)):
                page.keyboard.press("abcdefgh "[number % 9])
                page.wait_for_timeout(KEY_EVERY_MS)

        _, trace = traced(browser, page, keys)
        taken = kept.json_value()
        busy = sum(trace.tasks) / (during * 10)
        print(f"{what:38} {spread(taken)}   {len(taken):4}   {spread(trace.tasks)}   {busy:3.0f} %", flush=True)

    press("bare textarea", peer, "#field", 3)
    press("editor, nothing arriving", page, ".cm-content", 3)
    for view in TABS.values():
        page.get_by_role("tab", name=view).click()
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"feed {RATE} {SECONDS}\n")
        process.stdin.flush()
        press(f"editor, {RATE:,} events/s, {view}", page, ".cm-content", SECONDS - 2)
        rate = process.stdout.readline().split()[1]
        page.wait_for_timeout(1500)
        print(f"    sent: {rate}/s; in the page: {page.locator('[data-part=scrub-range]').get_attribute('max')} events")
    press("bare textarea, again", peer, "#field", 3)
    page.context.close()


PARTS = {
    "first": first,
    "slow": slow,
    "load": load,
    "value": value,
    "wide": wide,
    "scroll": scroll,
    "scrub": scrub,
    "type": type_,
}


def main() -> None:
    wanted = sys.argv[1:] or list(PARTS)
    with server() as (base, process), sync_playwright() as playwright:
        browser = launch(playwright)
        for name in wanted:
            PARTS[name](browser, base, process)
        browser.close()


if __name__ == "__main__":
    main()
