"""What whoever runs a server may set, in one place: environment variables, read once, with a reason each.

    python -m pages.ui.settings          what is set now
    python -m pages.ui.settings --help   what can be set

Address, port, certificates and the size of uploads are Streamlit's own (`.streamlit/config.toml`), and so is the
provider with which people sign in (`.streamlit/secrets.toml`).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from pruning_core.errors import UserError, quoted

LEAST_PASSWORD = 10  # characters
CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")  # of the cluster, and the server's own


class SignIn(StrEnum):
    """Who says that a visitor may come in."""

    NONE = "none"  # whoever can reach the address, which must be this machine's own
    PASSWORD = "password"
    OIDC = "oidc"  # a provider, through Streamlit: `oidc.py`
    PROXY = "proxy"  # something before this server, which nobody can get around


def _setting(default: Any, variable: str, what: str, secret: bool = False) -> Any:
    return field(default=default, metadata={"variable": variable, "what": what, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """All of them have a default with which a server on this machine alone is safe."""

    data: str = _setting("", "PRUNESCOPE_DATA", "folder of runs and uploads; ~/.local/share/prunescope if empty")
    hosts: tuple[str, ...] = _setting(
        (), "PRUNESCOPE_HOSTS", "names under which the server is reached, with commas; *.example.org for all below one"
    )
    password: str = _setting(
        "", "PRUNESCOPE_PASSWORD", f"what a visitor must know; {LEAST_PASSWORD} characters or more", secret=True
    )
    password_file: str = _setting("", "PRUNESCOPE_PASSWORD_FILE", "file that holds the password, instead")
    proxy: bool = _setting(
        False, "PRUNESCOPE_PROXY_SIGNS_IN", "yes: a proxy before this server signs people in, so it need not"
    )
    people: tuple[str, ...] = _setting(
        (),
        "PRUNESCOPE_PEOPLE",
        "who may sign in with a provider: addresses, or @example.org, with commas; all it knows if empty",
    )
    metrics_token: str = _setting(
        "",
        "PRUNESCOPE_METRICS_TOKEN",
        "bearer token with which /_stcore/metrics is read; else nobody does",
        secret=True,
    )
    queued_each: int = _setting(100, "PRUNESCOPE_QUEUED_EACH", "runs of one visitor that may wait")
    queued_all: int = _setting(400, "PRUNESCOPE_QUEUED_ALL", "runs that may wait in all")
    longest_hours: float = _setting(24.0, "PRUNESCOPE_LONGEST_HOURS", "hours until one attempt at a run is ended")
    scheduler: str = _setting(
        "",
        "SCHEDULER",
        "tcp://host:8786 or tls://host:8786 of a Dask cluster that does sweeps, comparisons and searches",
    )
    certificates: str = _setting(
        "", "PRUNESCOPE_CLUSTER_CERTIFICATES", "folder with the ca.pem, cert.pem and key.pem for a tls:// scheduler"
    )
    stored_gb: float = _setting(
        50.0, "PRUNESCOPE_STORED_GB", "gigabytes that the uploads and results of one visitor may take"
    )
    memory_gb: float = _setting(
        float("inf"), "PRUNESCOPE_MEMORY_GB", "gigabytes of memory of one run on the processor, beside what is free"
    )
    unused_days: float = _setting(
        30.0, "PRUNESCOPE_UNUSED_DAYS", "days until a stored file goes that nothing refers to and nobody has read"
    )
    search_storage: str = _setting(
        "",
        "PRUNESCOPE_SEARCH_STORAGE",
        "SQLAlchemy address of a database in which servers share the trials of a search",
        secret=True,
    )
    log: str = _setting("text", "PRUNESCOPE_LOG", "lines of the log: text, or json with one object each")
    oidc: bool = False  # whether Streamlit's secrets name a provider; the server looks

    @property
    def sign_in(self) -> SignIn:
        if self.oidc:
            return SignIn.OIDC
        return SignIn.PASSWORD if self.password else SignIn.PROXY if self.proxy else SignIn.NONE

    @staticmethod
    def read(environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises UserError for a value that cannot be."""
        given: dict[str, Any] = {}
        for each in VARIABLES:
            text = environment.get(each.metadata["variable"], "").strip()
            if text:
                given[each.name] = _value(each.metadata["variable"], text, each.default)
        settings = Settings(**given)
        if settings.password_file:
            settings = Settings(**{**given, "password": _from_file(settings.password_file)})
        if settings.password and len(settings.password) < LEAST_PASSWORD:
            raise UserError(f"The password is too short: choose one of {LEAST_PASSWORD} characters or more.")
        if settings.certificates:
            lacking = [name for name in CERTIFICATES if not (Path(settings.certificates) / name).is_file()]
            if lacking:
                raise UserError(f"PRUNESCOPE_CLUSTER_CERTIFICATES names a folder without {' and '.join(lacking)}.")
        if settings.log not in ("text", "json"):
            raise UserError(f"PRUNESCOPE_LOG is text or json, not {quoted(settings.log)}.")
        return settings


VARIABLES = tuple(each for each in fields(Settings) if "variable" in each.metadata)


def _value(variable: str, text: str, default: Any) -> Any:
    try:
        match default:
            case bool():
                return {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}[text.lower()]
            case int() | float():
                number = type(default)(text)
                if not 0 < number < float("inf"):
                    raise ValueError
                return number
            case tuple():
                return tuple(part.strip().lower() for part in text.split(",") if part.strip())
            case _:
                return text
    except (KeyError, ValueError) as error:
        kind = "yes or no" if isinstance(default, bool) else "a number above zero"
        raise UserError(f"{variable} is {kind}, not {quoted(text)}.") from error


def _from_file(name: str) -> str:
    try:
        text = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The file of the password, {quoted(name)}, cannot be read.") from error
    if not text:
        raise UserError(f"The file of the password, {quoted(name)}, is empty.")
    return text


def main() -> None:
    lines = [f"  {each.metadata['variable']:<28} {each.metadata['what']}" for each in VARIABLES]
    about = "Environment variables of the server:\n\n" + "\n".join(lines)
    argparse.ArgumentParser(
        "python -m pages.ui.settings", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    try:
        settings = Settings.read()
    except UserError as error:
        raise SystemExit(str(error)) from error
    for each in VARIABLES:
        value = getattr(settings, each.name)
        print(f"{each.metadata['variable']}={'(set)' if each.metadata['secret'] and value else value}")


if __name__ == "__main__":
    main()
