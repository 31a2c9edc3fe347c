"""What a killed test run left of its PostgreSQL is removed by the next one, whatever has become of its processes."""

import os
from pathlib import Path

import pytest
from postgres_support import FOLDER, root_of_run, stop_shared_server

NO_PROCESS = 2**22 + 1  # above what Linux numbers


@pytest.mark.parametrize("pid", [NO_PROCESS, os.getpid()], ids=["gone", "of-another-by-now"])
def test_a_server_whose_process_is_gone_is_removed(pid: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = root_of_run("of-long-ago") / "server" / "data"
    data.mkdir(parents=True)
    (data / "postmaster.pid").write_text(f"{pid}\n{data}\n")

    stop_shared_server("of-long-ago")

    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(FOLDER)] == []
