"""`python -m playground` and the command `playground`."""

import os
import sys


def main() -> int:
    """Serve the playground; the exit status is 2 when the operator has something to put right."""
    from playground.cli import main as run

    return run(sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
