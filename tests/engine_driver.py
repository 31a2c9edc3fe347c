"""What a flow needs of a browser of any engine, whichever protocol drives it: a window, its input, its complaints."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from install_support import install_from_debian, run_installer

START_SECONDS = 60
REPLY_SECONDS = 60
# Nothing but this machine is reached: what asks for another host is sent to the port that discards.
NOWHERE = "127.0.0.1:9"
HERE = "127.0.0.1"
KEYS = {
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Tab": "\ue004",
    "Control": "\ue009",
    "Home": "\ue011",
    "End": "\ue010",
    "ArrowUp": "\ue013",
    "ArrowDown": "\ue015",
}


class NoEngine(Exception):
    """A browser could not be had or started; the message says what was tried and what would help."""


class Driver(ABC):
    """One window of one new visitor, `dark` if the visitor prefers that, and then without motion, which costs much.

    `trouble` holds what the page must never do: errors, failed requests, refused content, other hosts.
    """

    name: str
    cures: str
    packages: tuple[str, ...]

    def __init__(self, dark: bool = False) -> None:
        self.dark = dark
        self.trouble: list[str] = []

    @staticmethod
    @abstractmethod
    def missing() -> bool:
        """Whether something that this engine needs is not installed."""

    @classmethod
    def make_ready(cls, install: Callable[[list[str]], str] = run_installer) -> None:
        """Install what is missing. `install` runs a command and returns what it complained of, if anything.

        Raises:
            NoEngine: it is still missing.
        """
        complaint = install_from_debian(list(cls.packages), install) if cls.missing() else ""
        if cls.missing():
            raise NoEngine(f"no {cls.name} to test with; {cls.cures}. Tried:\n{complaint}")

    @abstractmethod
    def goto(self, url: str) -> None:
        """Load `url`, and return when it is loaded."""

    @abstractmethod
    def reload(self) -> None: ...

    @abstractmethod
    def resize(self, width: int, height: int) -> None:
        """Give the page this size, in CSS pixels."""

    @abstractmethod
    def evaluate(self, function: str, *arguments: Any) -> Any:
        """Call a JavaScript function with JSON arguments; returns its result.

        Raises:
            Gone: the page went away meanwhile.
        """

    @abstractmethod
    def perform(self, sources: list[dict[str, Any]]) -> None:
        """Do the actions of these sources of input, as WebDriver describes them; both protocols take the same ones."""

    @abstractmethod
    def screenshot(self, path: Path) -> None: ...

    @abstractmethod
    def settle(self) -> None:
        """Return when all that the page has complained of so far is in `trouble`."""

    @abstractmethod
    def close(self) -> None:
        """End the browser."""

    def click(self, x: float, y: float) -> None:
        """Press the mouse's main button at this place of the window, in CSS pixels."""
        moves = [
            {"type": "pointerMove", "x": round(x), "y": round(y)},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self.perform([{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": moves}])

    def press(self, *keys: str) -> None:
        """Press keys together, in this order, such as "Control", "Enter"; a name of KEYS or one character."""
        codes = [KEYS.get(key, key) for key in keys]
        strokes = [{"type": "keyDown", "value": code} for code in codes] + [
            {"type": "keyUp", "value": code} for code in reversed(codes)
        ]
        self.perform([{"type": "key", "id": "keyboard", "actions": strokes}])

    def type(self, text: str) -> None:
        """Type characters one after another."""
        strokes = [{"type": kind, "value": character} for character in text for kind in ("keyDown", "keyUp")]
        self.perform([{"type": "key", "id": "keyboard", "actions": strokes}])


class Gone(Exception):
    """The page that was asked went away before it answered, as it does when it leads elsewhere."""
