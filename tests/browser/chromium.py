"""The browser the tests drive: an installed Chromium, else Playwright's own, else the distribution's package.

`python -m tests.browser.chromium` makes sure there is one and prints where it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")


def find() -> str | None:
    """The path of a Chromium that starts, or None."""
    candidates = [os.environ.get("CHROMIUM"), *(shutil.which(name) for name in NAMES), _playwrights_own()]
    return next((path for path in candidates if path and _starts(path)), None)


def install() -> str | None:
    """Get one: first Playwright's, then the distribution's; None when neither can be had."""
    for command in (_playwright_command(), *_package_commands()):
        print("$", " ".join(command), flush=True)
        subprocess.run(command, check=False)
        if path := find():
            return path
    return None


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def _starts(path: str) -> bool:
    """True when it renders an empty page; a package without its libraries is found by this."""
    command = [path, "--headless", *FLAGS, "--dump-dom", "about:blank"]
    try:
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _may_install() -> list[str] | None:
    """What to put before a command that needs the administrator's rights; None without them."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def _playwright_command() -> list[str]:
    with_libraries = [] if _may_install() is None else ["--with-deps"]
    return [sys.executable, "-m", "playwright", "install", *with_libraries, "chromium"]


def _package_commands() -> list[list[str]]:
    prefix = _may_install()
    if prefix is None or not shutil.which("apt-get"):
        return []
    return [[*prefix, "apt-get", "update", "-qq"], [*prefix, "apt-get", "install", "-y", "-qq", "chromium"]]


def main() -> int:
    path = find() or install()
    if path is None:
        print(
            "No Chromium could be found or installed. Install one (Debian: sudo apt-get install chromium) or name it: "
            "CHROMIUM=/path/to/chromium make test",
            file=sys.stderr,
        )
        return 1
    print(f"browser: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
