"""`python -m playground` and the command `playground`."""

import os
import sys

OLDEST = (3, 11)  # as pyproject.toml has it
CURE = "in a clone `./run playground` sees to it, elsewhere `pip install` of this project does"


def main() -> int:
    """Serve the playground; the exit status is 2 when the operator has something to put right."""
    if sys.version_info < OLDEST:
        return _complain(
            f"this is Python {sys.version.split()[0]}, and it takes 3.11 or newer; in a clone `./run playground` "
            "fetches one"
        )
    try:
        from playground.cli import main as run

        return run(sys.argv[1:], os.environ)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "playground"):
            raise
        return _complain(f"what it needs is not installed here ({missing}): {CURE}")


def _complain(sentence: str) -> int:
    print("playground: " + sentence, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
