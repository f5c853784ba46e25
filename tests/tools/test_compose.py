"""compose.yaml fits the Dockerfile, keeps the sign-in, and lets nobody but its own services reach the cluster."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from pages.ui.settings import Settings, SignIn

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_all_are_the_image_of_the_dockerfile() -> None:
    assert SERVICES.keys() == {"dashboard", "scheduler", "worker"}
    (build,) = {repr(service["build"]) for service in SERVICES.values()}
    arguments = SERVICES["dashboard"]["build"]["args"]
    assert arguments.keys() <= set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.M)), build
    assert (ROOT / arguments["REQUIREMENTS"]).is_file() and 'install "$REQUIREMENTS"' in DOCKERFILE
    assert len({service["image"] for service in SERVICES.values()}) == 1


def test_only_the_dashboard_is_published_and_only_here() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["dashboard"]
    (published,) = SERVICES["dashboard"]["ports"]
    host, _, inside = published.split(":")
    (port,) = re.findall(r"STREAMLIT_SERVER_PORT=(\d+)", DOCKERFILE)
    assert host == "127.0.0.1" and inside == port == re.findall(r"^EXPOSE (\d+)", DOCKERFILE, re.M)[0]
    assert COMPOSE["networks"]["cluster"]["internal"] is True
    assert all(service["networks"] == ["cluster"] for name, service in SERVICES.items() if name != "dashboard")


def test_it_does_not_start_without_a_password() -> None:
    environment = SERVICES["dashboard"]["environment"]
    assert environment["PRUNESCOPE_PASSWORD"].startswith("${PRUNESCOPE_PASSWORD:?")
    settings = Settings.read({**environment, "PRUNESCOPE_PASSWORD": "ten letters"})
    assert settings.sign_in is SignIn.PASSWORD and settings.scheduler == "tcp://scheduler:8786"


def test_the_scheduler_is_where_the_others_look_for_it() -> None:
    command = SERVICES["scheduler"]["command"]
    address = urlsplit(SERVICES["dashboard"]["environment"]["SCHEDULER"])
    assert address.hostname in SERVICES and str(address.port) == command[command.index("--port") + 1]
    assert address.geturl() in SERVICES["worker"]["command"]
    assert SERVICES["worker"]["environment"]["PYTHONPATH"] == re.findall(r"^WORKDIR (\S+)", DOCKERFILE, re.M)[0]


@pytest.mark.parametrize("name", ["scheduler", "worker"])
def test_dask_knows_what_it_is_told(name: str) -> None:
    python, m, module, *arguments = SERVICES[name]["command"]
    assert (python, m) == ("python", "-m")
    import_module(module).main.make_context(module, list(arguments))  # raises for an option that there is not
    assert SERVICES[name]["healthcheck"] == {"disable": True}, "the image's asks the dashboard"


def test_data_outlive_the_containers() -> None:
    (place,) = re.findall(r"^VOLUME (\S+)", DOCKERFILE, re.M)
    volume, inside = SERVICES["dashboard"]["volumes"][0].split(":")
    assert inside == place and volume in COMPOSE["volumes"]
