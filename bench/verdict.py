"""How a bench ends that judges what it saw: what is wrong, the server's folder kept for a look if anything is, and the
exit code.
"""

import shutil
from pathlib import Path


def verdict(wrongs: list[str], fine: str, folder: Path, printed: str, *, keep: bool = False) -> int:
    """Say what is wrong, or that all is `fine`; gives the exit code.

    `folder` is the server's and `printed` what it said, which is put there when the folder is kept.
    """
    for line in wrongs:
        print(line)
    if wrongs or keep:
        (folder / "server.log").write_text(printed)
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder)
    print("WRONG" if wrongs else fine)
    return 1 if wrongs else 0
