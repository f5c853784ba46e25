"""Installs what PruneScope needs into the Python that runs this, and writes down exactly what that is.

    python -m tools.packages install requirements.txt     with uv, or with pip where uv cannot be had
    python -m tools.packages lock                         resolve all lists again, for every platform, with hashes
    python -m tools.packages sbom sbom.json               what the dashboard is made of, as CycloneDX

Only the standard library is used here, because nothing else is installed yet. A list (``requirements.txt``) says what
we chose; its lock (``requirements.lock``) says the version of everything that comes along, and the hash of every file
that may be downloaded for it.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RUN, CLUSTER, DEVELOP = Path("requirements.txt"), Path("requirements-cluster.txt"), Path("requirements-dev.txt")
HUGGING_FACE = Path("requirements-huggingface.txt")
OLDEST = "3.11"
LISTER = "cyclonedx-bom==7.5.0"  # OWASP's own; fetched when asked for, it is no part of what we install
STAMP = "# Digest of the lists: "
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")

Runner = Callable[[Sequence[str], Mapping[str, str]], int]


def lock_of(listed: Path) -> Path:
    return listed.with_suffix(".lock")


def wanted(listed: Path) -> list[str]:
    """The requirements of a list and of those it includes by ``-r``, without comments."""
    lines = [line.split(" #")[0].strip() for line in listed.read_text(encoding="utf-8").splitlines()]
    found: list[str] = []
    for line in lines:
        if line.startswith("-r "):
            found += wanted(listed.parent / line.removeprefix("-r ").strip())
        elif line and not line.startswith("#"):
            found.append(line)
    return found


def digest(listed: Path) -> str:
    """SHA-256 of what is wanted; comments and the order do not count."""
    return hashlib.sha256("\n".join(sorted(wanted(listed))).encode()).hexdigest()


def pins(text: str) -> dict[str, set[str]]:
    """name -> its versions, of a list or a lock. A lock may have several: one for each kind of Python."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if pin := PIN.match(line):
            found.setdefault(_name(pin[1]), set()).add(pin[2])
    return found


def entries(lock: str) -> list[str]:
    """Each requirement of a lock with its hashes, as one piece of text."""
    lines = [line for line in lock.splitlines() if line and not line.lstrip().startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines)) if lines else []


def stale(listed: Path) -> list[str]:
    """Why the lock of ``listed`` is not the one that `make lock` would write; empty when it is. Needs no network."""
    try:
        lock = lock_of(listed).read_text(encoding="utf-8")
    except FileNotFoundError:
        return [f"{lock_of(listed)} does not exist"]
    locked = pins(lock)
    found = []
    for name, versions in pins("\n".join(wanted(listed))).items():
        if name not in locked:
            found.append(f"{name} is not in {lock_of(listed)}")
        elif locked[name] != versions:
            found.append(f"{name} is {'/'.join(versions)} in the list and {'/'.join(sorted(locked[name]))} in the lock")
    if f"{STAMP}{digest(listed)}" not in lock.splitlines():
        found.append(f"{lock_of(listed)} was made from other lists")
    return found + [f"{entry.split()[0]} has no hash" for entry in entries(lock) if "--hash=" not in entry]


def pip_settings(listing: str) -> dict[str, str]:
    """What `pip config list` prints, as name -> value: the global part, above it that of install, then the environment.

    Values are as pip holds them: several addresses stand in one, separated by blanks.
    """
    parts: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listing.splitlines():
        key, equals, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if equals and section in parts:
            parts[section][name.replace("_", "-")] = str(ast.literal_eval(value))
    return parts["global"] | parts["install"] | parts[":env:"]


def uv_environment(pip: Mapping[str, str], own: Mapping[str, str], hashes: bool) -> dict[str, str]:
    """``own`` with pip's settings said in uv's words, because uv does not read pip's. What ``own`` says to uv stays.

    As with pip the best version of all indexes wins, not the first index that knows the name: the lock's hashes say
    which file is meant, wherever it lies. Limits on versions would say nothing beside the lock, and uv takes no limits
    together with ``hashes``.
    """
    certificate, timeout = pip.get("cert"), pip.get("timeout", pip.get("default-timeout"))
    said = {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": pip.get("index-url"),
        "UV_INDEX": " ".join(pip.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(pip.get("find-links", "").split()),
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", "").split()),
        "UV_CONSTRAINT": "" if hashes else " ".join(pip.get("constraint", "").split()),
        "UV_HTTP_TIMEOUT": timeout,
        "SSL_CERT_FILE": certificate,
        "ALL_PROXY": pip.get("proxy"),
    }
    if own.get("UV_INDEX_URL"):  # the older name of the same
        said.pop("UV_DEFAULT_INDEX")
    return {name: value for name, value in said.items() if value} | dict(own)


def install(
    listed: Path,
    extra: Sequence[str] = (),
    locked: bool = True,
    python: str = sys.executable,
    run: Runner | None = None,
) -> str:
    """Install what ``listed`` wants into ``python`` and return a sentence on how it was done.

    By the lock, every file checked against its hash. With ``extra`` options for pip the user names sources of his own,
    whose builds have other hashes: then the lock only says the versions. Not ``locked``: as the list says, and what
    comes along as it comes. uv does it, or pip where uv cannot be had or cannot do it. Raises SystemExit with a
    sentence when the lock is of other lists, or when neither could.
    """
    run = run or _run
    hashes = locked and not extra
    if locked and (why := stale(listed)):
        raise SystemExit(f"The lock does not fit: {'; '.join(why)}. Run `make lock`, or install without it: LOCK=no.")
    with tempfile.TemporaryDirectory() as folder:
        what = ["--require-hashes", "-r", str(lock_of(listed))] if hashes else ["-r", str(listed)]
        if locked and not hashes:
            versions = Path(folder) / "versions.txt"
            versions.write_text("\n".join(entry.split("\\")[0] for entry in entries(_text(listed))), encoding="utf-8")
            what += ["-c", str(versions)]
        what += extra
        quiet = [] if sys.stderr.isatty() else ["--quiet"]
        if _have_uv(run):
            pip = pip_settings(_output(python, "-m", "pip", "config", "list"))
            sources = ["--no-index"] * (pip.get("no-index", "").lower() in {"1", "true", "yes", "on"})
            command = [sys.executable, "-m", "uv", "pip", "install", *quiet, "--python", python, *sources, *what]
            started = time.monotonic()
            if run(command, uv_environment(pip, os.environ, hashes)) == 0:
                return f"Installed with uv in {time.monotonic() - started:.0f} s, {_checked(locked, hashes)}."
            print("uv could not do it (its reasons stand above); pip tries.", file=sys.stderr)
        else:
            print("uv cannot be had here; pip does it, which takes longer.", file=sys.stderr)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
        started = time.monotonic()
        if run(command, os.environ):
            raise SystemExit(
                "The packages could not be installed; the reason stands above. Where it is a hash, this machine gets "
                "builds that are not the ones we know: `LOCK=no` takes them all the same."
                if hashes
                else "The packages could not be installed; the reason stands above."
            )
        return f"Installed with pip in {time.monotonic() - started:.0f} s, {_checked(locked, hashes)}."


def lock(upgrade: bool = False, run: Runner | None = None) -> None:
    """Write all locks, for every platform and each Python from OLDEST on; versions change only where they must.

    ``upgrade`` takes the newest of everything that the lists leave open. Only pip's main index is asked: others may
    hold some of a version's files only, and the lock names them all. Raises SystemExit when uv cannot.
    """
    run = run or _run
    if not _have_uv(run):
        raise SystemExit("The lock is made by uv, which cannot be had here.")
    pip = pip_settings(_output(sys.executable, "-m", "pip", "config", "list"))
    main = {name: value for name, value in pip.items() if name not in {"extra-index-url", "find-links"}}
    for listed in (RUN, CLUSTER, HUGGING_FACE, DEVELOP):
        target = lock_of(listed)
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
        command += ["--python-version", OLDEST, "--no-header", "--no-annotate", "-o", str(target), str(listed)]
        command += ["--upgrade"] * upgrade + ["-c", str(lock_of(RUN))] * (listed != RUN)
        if run(command, uv_environment(main, os.environ, hashes=True)):
            raise SystemExit(f"uv could not resolve {listed}; the reason stands above.")
        made = f"# Made by `make lock` from {listed}, for Python {OLDEST} and newer on every platform. Not for hands.\n"
        body = target.read_text(encoding="utf-8")
        target.write_text(f"{made}{STAMP}{digest(listed)}\n{body}", encoding="utf-8")


def sbom(target: Path, run: Runner | None = None) -> None:
    """Write every package that the lock of the dashboard names to ``target``. Raises SystemExit when that fails."""
    run = run or _run
    if not _have_uv(run):
        raise SystemExit("The tool that writes the list is fetched by uv, which cannot be had here.")
    pip = pip_settings(_output(sys.executable, "-m", "pip", "config", "list"))
    command = [sys.executable, "-m", "uv", "tool", "run", "--quiet", "--from", LISTER, "cyclonedx-py", "requirements"]
    command += ["--output-reproducible", "-o", str(target), str(lock_of(RUN))]
    if run(command, uv_environment(pip, os.environ, hashes=False)):
        raise SystemExit("The list could not be written; the reason stands above.")


def _have_uv(run: Runner) -> bool:
    """Put the uv that the lock names beside pip, checked by its hash, unless it is there. False when that fails."""
    (known,) = pins("\n".join(wanted(DEVELOP)))["uv"]
    try:
        if version("uv") == known:
            return True
    except PackageNotFoundError:
        pass
    block = entries(_text(DEVELOP)) if lock_of(DEVELOP).exists() else []
    with tempfile.TemporaryDirectory() as folder:
        only = Path(folder) / "uv.txt"
        only.write_text(next((each for each in block if each.startswith(f"uv=={known} ")), f"uv=={known}"))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(only)]
        return run(command, os.environ) == 0


def _text(listed: Path) -> str:
    return lock_of(listed).read_text(encoding="utf-8")


def _checked(locked: bool, hashes: bool) -> str:
    if hashes:
        return "every file checked against the lock's hash"
    return "the lock's versions from sources of your own, hashes not checked" if locked else "without the lock"


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    return subprocess.run(command, env=dict(environment)).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = parser.add_subparsers(dest="task", required=True)
    installing = chosen.add_parser("install")
    installing.add_argument("--no-lock", action="store_true", help="as the list says, whatever comes along")
    installing.add_argument("list", type=Path)
    installing.add_argument("extra", nargs=argparse.REMAINDER, help="options that are handed to uv or pip")
    locking = chosen.add_parser("lock")
    locking.add_argument("--upgrade", action="store_true", help="the newest of everything that the lists leave open")
    listing = chosen.add_parser("sbom")
    listing.add_argument("target", type=Path)
    asked = parser.parse_args()
    if asked.task == "lock":
        lock(asked.upgrade)
    elif asked.task == "sbom":
        sbom(asked.target)
    else:
        print(install(asked.list, asked.extra, locked=not asked.no_lock))


if __name__ == "__main__":
    main()
