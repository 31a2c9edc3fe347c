"""The operator's packages: what a requirements file may say, and the installation that happens once or not at all."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import zipfile
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from terminal_support import Commands, terminal_environment

from playground.opening import install_configured_packages, packages_folder
from playground.packages import requirements
from playground.packages.installation import MANIFEST, PackageSet, install, installer_command
from playground.packages.requirements import PackagesRefused, read_requirements
from playground.settings import BadSetting, Settings

HASH = "--hash=sha256:" + "a" * 64


def written(folder: Path, text: str) -> Path:
    path = folder / "requirements.txt"
    path.write_text(text)
    return path


def test_a_locked_file_is_read_with_comments_markers_and_lines_that_go_on(tmp_path: Path) -> None:
    text = f"""# made by uv
Numpy==2.4.6 ; python_full_version < '3.12' \\
    {HASH} \\
    {HASH}
typing_extensions==4.16.0 {HASH}  # via pydantic
rich[jupyter]==14.0.0 {HASH}
"""
    assert read_requirements(written(tmp_path, text)).names == ("numpy", "typing-extensions", "rich")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("numpy==2.4.6", "has no --hash=sha256"),
        (f"numpy>=2 {HASH}", "is not an exact version"),
        (f"numpy {HASH}", "is not an exact version"),
        (f"numpy==2.* {HASH}", "is not an exact version"),
        (f"numpy==2.4.6,<3 {HASH}", "is not an exact version"),
        (f"numpy==2.4.6 ; sys_platform == 'linux' # {HASH}", "has no --hash=sha256"),
        ("numpy==2.4.6 --hash=md5:aaaa", "has no --hash=sha256"),
        (f"numpy @ https://files.example/numpy.whl {HASH}", "names a URL"),
        (f"https://files.example/numpy.whl {HASH}", "names a URL"),
        ("git+https://git.example/numpy.git", "names a URL"),
        (f"./wheels/numpy.whl {HASH}", "names a URL"),
        ("-e .", "is editable"),
        ("--editable=.", "is editable"),
        ("-r other.txt", "reads another file"),
        ("--constraint=other.txt", "reads another file"),
        ("--index-url https://user:password@index.example/simple", "UV_INDEX_URL"),
        ("--find-links=/tmp", "UV_INDEX_URL"),
        ("--pre", "the option `--pre`"),
    ],
)
def test_a_line_that_is_not_locked_is_refused_with_its_number_and_what_to_do(
    tmp_path: Path, line: str, says: str
) -> None:
    with pytest.raises(PackagesRefused) as refused:
        read_requirements(written(tmp_path, f"# ours\nsix==1.17.0 {HASH}\n\n{line}\n"))
    said = str(refused.value)
    assert "requirements.txt, line 4: " in said and says in said and "password" not in said
    assert any(cure in said for cure in ("uv pip compile", "build a wheel", "take the line out")), said


def test_a_file_that_holds_nothing_or_too_much_or_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PackagesRefused, match="names no package"):
        read_requirements(written(tmp_path, "# nothing\n"))
    with pytest.raises(PackagesRefused, match="can't be read: No such file"):
        read_requirements(tmp_path / "nowhere.txt")
    monkeypatch.setattr(requirements, "PACKAGES_MOST", 1)
    with pytest.raises(PackagesRefused, match="has 2 requirements, and the most is 1"):
        read_requirements(written(tmp_path, f"six==1 {HASH}\nseven==1 {HASH}\n"))
    monkeypatch.setattr(requirements, "FILE_BYTES", 10)
    with pytest.raises(PackagesRefused, match="and the most is 10"):
        read_requirements(written(tmp_path, f"six==1 {HASH}\n"))


# Wheels of our own, in a folder that takes the place of an index.


def wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Make the wheel of a package, version 1.0; returns its line for a requirements file."""
    info = f"{name}-1.0.dist-info"
    held = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{path},sha256={urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for path, text in held.items()
    ]
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in held.items():
            archive.writestr(inside, text)
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,"]) + "\n")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


class Installer:
    """uv or pip with a folder for an index, or other words in their place; counts how often it is begun."""

    def __init__(self, wheels: Path, *instead: str) -> None:
        self.wheels, self.instead, self.begun = wheels, instead, 0

    def __call__(self, locked: Path, target: Path) -> list[str]:
        self.begun += 1
        usual = [*installer_command(locked, target), "--no-index", "--find-links", str(self.wheels)]
        return list(self.instead) or usual

    def variables(self) -> dict[str, str]:
        """What has uv and pip use the folder by themselves."""
        place = str(self.wheels)
        return {"UV_NO_INDEX": "1", "UV_FIND_LINKS": place, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": place}


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


def test_several_at_once_install_a_set_once_and_later_ones_take_it_as_it_is(tmp_path: Path, wheels: Path) -> None:
    lines = [
        wheel(wheels, "colours", {"colours/__init__.py": "RED = 1\n", "_c.py": ""}),
        wheel(wheels, "six", {"six.py": ""}),
    ]
    locked = read_requirements(written(tmp_path, "\n".join(lines) + "\n"))
    place, installer = tmp_path / "place", Installer(wheels)
    start = threading.Barrier(3)

    def begin(_: int) -> PackageSet:
        start.wait()
        return install(locked, place, command=installer)

    with ThreadPoolExecutor(3) as threads:
        first, *others = threads.map(begin, range(3))
    assert others == [first, first] and installer.begun == 1
    assert [(it.name, it.version, it.modules) for it in first.packages] == [
        ("colours", "1.0", ("_c", "colours")),
        ("six", "1.0", ("six",)),
    ]
    assert first.modules == ("_c", "colours", "six")
    assert install(locked, place, command=lambda *_: ["/nonexistent"]) == first  # offline
    assert sorted(it.name for it in place.iterdir()) == [".lock", Path(first.folder).name]
    modes = {path.stat().st_mode & 0o777 for path in Path(first.folder).rglob("*")}
    assert modes <= {0o755, 0o644}, "workers of other users read them, and nobody writes them"


def test_what_can_t_be_installed_is_refused_and_leaves_nothing(tmp_path: Path, wheels: Path) -> None:
    place, installer = tmp_path / "place", Installer(wheels)
    line = wheel(wheels, "colours", {"colours.py": ""})
    cases = {
        line[:-4] + "0000": "colours",  # another hash
        line.replace("1.0", "1.1"): "colours",
        wheel(wheels, "sly", {"workers.py": ""}): "sly 1.0 brings a module `workers`",
        line.replace("==1.0", '==1.0 ; python_version < "3"'): "installs nothing on this machine",
    }
    for text, says in cases.items():
        with pytest.raises(PackagesRefused) as refused:
            install(read_requirements(written(tmp_path, text)), place, command=installer)
        assert says in str(refused.value)
        assert [it.name for it in place.iterdir()] == [".lock"]
    (wheels / "colours-1.0-py3-none-any.whl").rename(wheels / "colours-1.0.tar.gz")  # its setup.py would run
    with pytest.raises(PackagesRefused, match="wheels only"):
        install(read_requirements(written(tmp_path, line)), place, command=installer)
    assert [it.name for it in place.iterdir()] == [".lock"]


def test_a_killed_install_is_done_again_and_a_folder_changed_by_hand_is_refused(tmp_path: Path, wheels: Path) -> None:
    locked = read_requirements(written(tmp_path, wheel(wheels, "colours", {"colours.py": "RED = 1\n"})))
    place = tmp_path / "place"
    program = (
        "import sys; from pathlib import Path; from playground.packages.installation import install; "
        "from playground.packages.requirements import read_requirements; "
        "install(read_requirements(Path(sys.argv[1])), Path(sys.argv[2]), "
        "command=lambda file, target: ['sh', '-c', f'echo half > {target}/colours.py; echo begun; exec cat'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program.replace("exec cat", "kill -9 $PPID; exec true"), locked.path, place]
    ) as killed:
        assert killed.wait(30) == -signal.SIGKILL
    assert [it.name for it in place.glob(".unfinished-*")], "it was killed on the way"
    installed = install(locked, place, command=Installer(wheels))
    assert (Path(installed.folder) / "colours.py").read_text() == "RED = 1\n"
    assert not [*place.glob(".unfinished-*")]
    os.remove(Path(installed.folder) / MANIFEST)
    with pytest.raises(PackagesRefused, match="was changed by hand; remove it"):
        install(locked, place, command=Installer(wheels))


def test_an_installer_is_told_no_secret_of_the_server_and_tells_none_of_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_OPERATOR_TOKEN", "hush")
    locked = read_requirements(written(tmp_path, f"six==1 {HASH}\n"))
    says = 'echo "at https://ada:quiet@index.example/simple it knows <$PLAYGROUND_OPERATOR_TOKEN> $PATH" >&2; exit 3'
    with pytest.raises(PackagesRefused) as refused:
        install(locked, tmp_path / "place", command=Installer(tmp_path, "sh", "-c", says))
    assert "at https://index.example/simple it knows <> /" in str(refused.value)
    with pytest.raises(PackagesRefused, match="status 4"):
        install(locked, tmp_path / "place", command=Installer(tmp_path, "sh", "-c", "exit 4"))
    with pytest.raises(PackagesRefused, match="/nonexistent/uv, which installs packages, does not start: No such file"):
        install(locked, tmp_path / "place", command=Installer(tmp_path, "/nonexistent/uv"))


def test_a_command_installs_and_lists_them_as_a_server_would(
    tmp_path: Path, wheels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, wheel(wheels, "colours", {"colours.py": ""}) + "\n")
    with pytest.MonkeyPatch.context() as patched:  # the installer has this process's environment
        for name, value in Installer(wheels).variables().items():
            patched.setenv(name, value)
        run = Commands(capsys, terminal_environment(tmp_path, PLAYGROUND_PACKAGES_FOLDER=str(tmp_path / "place")))
        done = run("packages", str(path))
        again = run("packages", "--format", "text", PLAYGROUND_PACKAGES=str(path))
    (package,), (folder,) = done.of("package"), done.of("packages")
    assert (done.status, done.err) == (0, "")
    assert package == {"kind": "package", "name": "colours", "version": "1.0", "modules": ["colours"]}
    assert (Path(folder["folder"]) / "colours.py").is_file()
    assert again.out == f"colours 1.0  colours\nin {folder['folder']}\n"
    assert "name a requirements file" in run("packages").err
    refused = run("packages", str(written(tmp_path, "colours>=1\n")))
    assert refused.status == 2 and "line 1: `colours>=1` is not an exact version" in refused.err


def test_the_setting_s_label_stands_before_what_is_wrong_and_the_folder_follows_the_database(tmp_path: Path) -> None:
    path = written(tmp_path, "numpy==2.4.6\n")
    with pytest.raises(
        BadSetting, match=r"^packages \(PLAYGROUND_PACKAGES\): .*, line 1: `numpy==2.4.6` has no --hash"
    ):
        install_configured_packages(Settings(packages=str(path)), {})
    assert install_configured_packages(Settings(), {}) is None
    beside = packages_folder(Settings(database=f"sqlite:///{tmp_path}/x.db"), {})
    assert beside == tmp_path / "playground-packages"
    shared = Settings(database="postgresql://db/x")
    assert packages_folder(shared, {"XDG_CACHE_HOME": "/cache"}) == Path("/cache/playground-packages")
    assert packages_folder(Settings(packages_folder=str(tmp_path)), {}) == tmp_path
