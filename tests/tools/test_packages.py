"""What is installed is what the lock says, and the lock is of the lists that stand beside it."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tools import packages
from tools.packages import (
    CLUSTER,
    DEVELOP,
    HUGGING_FACE,
    RUN,
    entries,
    install,
    lock_of,
    pins,
    pip_settings,
    stale,
    uv_environment,
)

ROOT = Path(__file__).resolve().parents[2]
Call = tuple[Sequence[str], Mapping[str, str]]


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lists and locks of the repository, to be changed at will, in the current directory."""
    for listed in (RUN, CLUSTER, HUGGING_FACE, DEVELOP):
        for path in (listed, lock_of(listed)):
            (tmp_path / path).write_text((ROOT / path).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("listed", [RUN, CLUSTER, HUGGING_FACE, DEVELOP], ids=str)
def test_the_locks_are_of_the_lists(listed: Path) -> None:
    assert stale(ROOT / listed) == [], "run `make lock`"


def test_who_tests_has_what_who_runs_has() -> None:
    lists = (RUN, CLUSTER, HUGGING_FACE, DEVELOP)
    run, *more, develop = (pins((ROOT / lock_of(listed)).read_text(encoding="utf-8")) for listed in lists)
    for extra in more:
        assert {name: extra.get(name) for name in run} == run
        assert {name: develop.get(name) for name in extra} == extra


def test_the_lock_is_for_other_platforms_too() -> None:
    """One hash for a compiled package would mean that it was resolved from what lay at hand."""
    for entry in entries((ROOT / lock_of(RUN)).read_text(encoding="utf-8")):
        if entry.startswith(("numpy==", "torch==", "scipy==", "pillow==")):
            assert entry.count("--hash=sha256:") > 8, entry


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("numpy==2.4.6", "numpy==2.4.7", "numpy is 2.4.7 in the list and 2.4.6 in the lock"),
        ("numpy==2.4.6", "numpy==2.4.6\nleft-pad==1.0", "left-pad is not in requirements.lock"),
        ("numpy==2.4.6\n", "", "requirements.lock was made from other lists"),
    ],
)
def test_a_changed_list_makes_the_lock_stale(copies: Path, old: str, new: str, said: str) -> None:
    change(RUN, old, new)
    assert said in stale(RUN)
    assert stale(DEVELOP), "the list for tests includes it"
    with pytest.raises(SystemExit, match=r"The lock does not fit: .*Run `make lock`"):
        install(RUN, run=lambda *_: pytest.fail("nothing may be installed"))


def test_a_changed_lock_is_stale_and_a_changed_comment_is_not(copies: Path) -> None:
    change(RUN, "# MACs as", "# Multiplications as")
    assert stale(RUN) == []
    change(lock_of(RUN), "numpy==2.4.6", "numpy==2.4.5")
    assert stale(RUN) == ["numpy is 2.4.6 in the list and 2.4.5 in the lock"]
    lock_of(RUN).unlink()
    assert stale(RUN) == ["requirements.lock does not exist"]


def test_a_requirement_without_a_hash_is_stale(copies: Path) -> None:
    change(lock_of(RUN), "joblib==", "itself==1.0\njoblib==")
    assert stale(RUN) == ["itself==1.0 has no hash"]


def test_pips_settings_in_uvs_words() -> None:
    pip = pip_settings(
        ":env:.default-timeout='180'\n:env:.cert='/certs.pem'\nglobal.cert='/older.pem'\nfreeze.timeout='1'\n"
        "global.index-url='https://mirror.invalid/simple'\nglobal.extra-index-url='file:///a\\nfile:///b'\n"
        "install.find-links='/wheels /more'\nglobal.find-links='/other'\nglobal.constraint='/limits.txt'\n"
    )
    said = uv_environment(pip, {"HOME": "/home/ann"}, hashes=True)
    assert said == {
        "HOME": "/home/ann",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": "https://mirror.invalid/simple",
        "UV_INDEX": "file:///a file:///b",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_HTTP_TIMEOUT": "180",
        "SSL_CERT_FILE": "/certs.pem",
    }
    assert uv_environment(pip, {}, hashes=False)["UV_CONSTRAINT"] == "/limits.txt"


def test_what_the_user_says_to_uv_stays() -> None:
    pip = {"index-url": "https://mirror.invalid/simple", "cert": "/certs.pem"}
    assert uv_environment(pip, {"UV_DEFAULT_INDEX": "own", "SSL_CERT_FILE": "mine"}, hashes=True) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": "own",
        "SSL_CERT_FILE": "mine",
    }
    assert "UV_DEFAULT_INDEX" not in uv_environment(pip, {"UV_INDEX_URL": "own"}, hashes=True)


class Machine:
    """Stands for the programs that would be started: notes each call, and fails those that it is told to."""

    def __init__(self, *failing: str) -> None:
        self.failing, self.calls = failing, list[Call]()
        self.versions: str | None = None

    def __call__(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        self.calls.append((command, environment))
        if "-c" in command:
            self.versions = Path(command[command.index("-c") + 1]).read_text(encoding="utf-8")
        return int(any(f" {each} " in " ".join(command) for each in self.failing))

    @property
    def lines(self) -> list[str]:
        return [re.sub(r"^\S+ -m ", "", " ".join(command)) for command, _ in self.calls]


@pytest.fixture
def without_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise packages.PackageNotFoundError(name)

    monkeypatch.setattr(packages, "version", version)


def test_uv_comes_by_its_hash_and_then_installs_by_hashes(copies: Path, without_uv: None) -> None:
    def seen(command: Sequence[str], _: Mapping[str, str]) -> int:
        if "-r" in command and command[-1].endswith("uv.txt"):
            asked.append(Path(command[-1]).read_text(encoding="utf-8"))
        return machine(command, _)

    asked: list[str] = []
    machine = Machine()
    assert re.match(r"Installed with uv in \d+ s, every file checked against the lock's hash", install(RUN, run=seen))
    assert [line.split(" ")[0] for line in machine.lines] == ["pip", "uv"]
    assert asked[0].startswith("uv==") and asked[0].count("--hash=sha256:") > 8
    assert machine.lines[1].endswith("--require-hashes -r requirements.lock")


@pytest.mark.parametrize(("failing", "said"), [("uv.txt", "uv cannot be had"), ("uv pip install", "uv could not do")])
def test_without_uv_pip_installs_the_same(
    copies: Path, without_uv: None, failing: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(Machine):
        def __call__(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
            return super().__call__(command, environment) or int(failing in " ".join(command))

    machine = Failing()
    assert install(DEVELOP, run=machine).startswith("Installed with pip in ")
    assert said in capsys.readouterr().err
    assert machine.lines[-1].startswith("pip install")
    assert machine.lines[-1].endswith("--require-hashes -r requirements-dev.lock")


def test_where_neither_can_it_says_so(copies: Path) -> None:
    with pytest.raises(SystemExit, match=r"could not be installed.*LOCK=no"):
        install(RUN, run=Machine("pip"))


def test_own_sources_have_own_hashes_but_the_locks_versions(copies: Path) -> None:
    machine = Machine()
    said = install(RUN, ["--extra-index-url", "https://wheels.invalid/cpu"], run=machine)
    assert said.endswith("the lock's versions from sources of your own, hashes not checked.")
    assert "-r requirements.txt -c " in machine.lines[-1] and "--require-hashes" not in machine.lines[-1]
    assert machine.lines[-1].endswith("--extra-index-url https://wheels.invalid/cpu")
    assert machine.versions is not None and "--hash" not in machine.versions
    assert pins(machine.versions) == pins(lock_of(RUN).read_text(encoding="utf-8"))


def test_without_the_lock_the_list_alone_decides(copies: Path) -> None:
    lock_of(RUN).unlink()
    machine = Machine()
    assert install(RUN, locked=False, run=machine).endswith("without the lock.")
    assert machine.lines[-1].endswith("-r requirements.txt")


def wheel(folder: Path, name: str, version: str = "1.0") -> str:
    """A package that holds one module; returns the hash of its file."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return str(folder / "bin" / "python")


def test_a_real_file_with_another_hash_is_refused_by_both(
    tmp_path: Path, empty: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """No network: the only source is a folder that pip's settings name, and uv has to find it there too."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(tmp_path))):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    known = wheel(tmp_path, "alpha")
    DEVELOP.write_text(f"uv=={packages.version('uv')}\n")
    RUN.write_text("alpha==1.0\n")
    stamp = f"{packages.STAMP}{packages.digest(RUN)}\n"
    lock_of(RUN).write_text(f"{stamp}alpha==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    with pytest.raises(SystemExit, match="LOCK=no"):
        install(RUN, python=empty)
    heard = capfd.readouterr().err
    assert "Hash mismatch for `alpha==1.0`" in heard and "DO NOT MATCH THE HASHES" in heard
    assert subprocess.run([empty, "-c", "import alpha"], capture_output=True).returncode != 0

    lock_of(RUN).write_text(f"{stamp}alpha==1.0 \\\n    --hash=sha256:{known}\n")
    assert install(RUN, python=empty).startswith("Installed with uv")
    assert subprocess.run([empty, "-c", "import alpha; assert alpha.VERSION == '1.0'"]).returncode == 0
    # a local build wins over the plain one, as pip would choose; the lock then only says the version
    wheel(tmp_path, "alpha", "1.0+cpu")
    install(RUN, ["--find-links", str(tmp_path), "--reinstall"], python=empty)
    assert subprocess.run([empty, "-c", "import alpha; assert alpha.VERSION == '1.0+cpu'"]).returncode == 0


def test_the_list_of_parts_is_of_the_dashboards_lock(copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Sequence[str]] = []
    monkeypatch.setattr(packages, "_have_uv", lambda run: True)

    def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
        calls.append(command)
        return len(calls) - 1

    packages.sbom(Path("sbom.json"), run)
    assert packages.LISTER in calls[0] and calls[0][-2:] == ["sbom.json", "requirements.lock"]
    with pytest.raises(SystemExit, match="could not be written"):
        packages.sbom(Path("sbom.json"), run)
