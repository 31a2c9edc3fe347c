"""`python -m playground` and the command `playground`."""

import os
import sys

OLDEST = (3, 11)  # as pyproject.toml has it
HOW_TO_INSTALL = "in a clone `./run playground` does it, elsewhere `pip install` of this project"


def main() -> int:
    """Serve the playground; the exit status is 2 when the operator has to correct something."""
    if sys.version_info < OLDEST:
        return _print_error(
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
        return _print_error(f"what it needs is not installed here ({missing}): {HOW_TO_INSTALL}")


def _print_error(sentence: str) -> int:
    print("playground: " + sentence, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
