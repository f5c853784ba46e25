"""What a visitor has in front of them, and the slow things everybody shares.

The *desk* is what was chosen: model, data, plan. It lives in the session and is written down per visitor, so that a
reload or another tab finds it again. The loaders keep a few loaded models and data sets for all visitors; what they
return is shared, so nobody may change it.

Torch takes seconds to import, so nothing here imports the core before a function is called.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui import oidc
from pages.ui.cookie import USER_COOKIE
from pages.ui.language import N_, _, call_examples
from pages.ui.once import Once
from pages.ui.settings import Settings
from pages.ui.waiting import waiting

if TYPE_CHECKING:
    from pages.ui.desk import Desk
    from pruning_core.apart.described import Opened
    from pruning_core.datasets import DataRef, Dataset
    from pruning_core.graph import Network, Plan
    from pruning_core.runs.jobs import Jobs
    from pruning_core.storage import Workspace
    from pruning_core.zoo import LoadedModel, ModelRef

MODELS_KEPT = 6
DATA_KEPT = 4
SEEN = "desk.seen"
NAME = re.compile(r"[\w-]+", re.ASCII)  # of a cookie; a person's has a space, and no cookie can be somebody
ELSEWHERE = N_(
    "Another tab has changed the plan or what is on the desk. That stands here now, and your last change was not made: "
    "look, and do it again if you still want it."
)


@dataclass
class Seen:
    """What this tab last read or wrote down.

    An object, so that one assignment changes it: the session may end the script wherever it is touched, as it does on a
    quick second click.
    """

    desk: Desk


# -- who, and what is chosen -------------------------------------------------------------------------------------------


def owner() -> str:
    """Who the provider says it is; else a random name: the cookie's, or the session's where there is none (tests)."""
    if person := oidc.owner():
        return person
    named = st.context.cookies.get(USER_COOKIE)
    if isinstance(named, str) and NAME.fullmatch(named):
        return named
    return str(st.session_state.setdefault("owner", f"session-{secrets.token_urlsafe(16)}"))


def desk() -> Desk:
    """What this visitor has chosen; the demo network and its data at first."""
    from pages.ui import desk as desks

    if "desk" not in st.session_state:
        st.session_state["desk.lost"] = desks.lost(workspace(), owner())
        there = desks.recall(workspace(), owner())
        st.session_state[SEEN], st.session_state["desk"] = Seen(there), there
    found: Desk = st.session_state["desk"]
    return found


def worked_on() -> Desk:
    """The desk, for a page that is about what lies there: its texts call examples what they are."""
    from pruning_core.errors import UserError

    found = desk()
    with suppress(UserError):  # who needs the data says why they cannot be had
        call_examples(splits(found.data)[1].called)
    return found


def lost() -> str:
    """The name of a network that this visitor had on the desk, and that is not there because it ended the server."""
    return str(st.session_state.get("desk.lost", ""))


def choose_model(model: ModelRef, data: DataRef | None = None) -> bool:
    """Put another model on the desk, with the data that belongs to it if given; its own plan comes with it.

    False where another tab was first.
    Raises UserError when either cannot be loaded; the desk is then as it was.
    """
    now = desk()
    loaded(model)
    if data is not None and data != now.data:
        splits(data)
    return _keep(now.with_model(model, data or now.data))


def choose_data(data: DataRef) -> bool:
    """False where another tab was first. Raises UserError when it cannot be loaded; the desk is then as it was."""
    splits(data)
    return _keep(desk().with_data(data))


def choose_plan(plan: Plan, made: str = "") -> bool:
    """Keep `plan` for the model on the desk; `made`: what made it, as JSON text. False where another tab was first."""
    return _keep(desk().with_plan(plan, made))


def choose_all(model: ModelRef, data: DataRef, plan: Plan) -> bool:
    """Network, data and plan at once, as a link or a file brings them. False where another tab was first.

    Raises UserError when they cannot be loaded or do not fit together; the desk is then as it was.
    """
    network(model).validate(plan)
    splits(data)
    return _keep(desk().with_model(model, data).with_plan(plan))


def _keep(changed: Desk) -> bool:
    """Write it down, unless another tab of the same visitor has since: then that stands here too, and the visitor reads
    that the change was not made."""
    from pages.ui.desk import recall, remember

    place, name = workspace(), owner()
    there, seen = recall(place, name), st.session_state.get(SEEN)
    if seen is None:  # nobody has read it here
        seen = st.session_state[SEEN] = Seen(there)
    if there not in (seen.desk, changed):
        st.session_state["desk"] = there
        seen.desk = there
        st.toast(_(ELSEWHERE), icon=":material/tab:", duration="long")
        return False
    # Between these two nothing can end the script: what is written down and not seen would be another tab's.
    remember(place, name, changed)
    seen.desk = changed
    st.session_state["desk"], st.session_state["desk.lost"] = changed, ""
    return True


# -- shared by all visitors --------------------------------------------------------------------------------------------


def _make_workspace(root: str) -> Workspace:
    from pruning_core.storage.workspace import Workspace

    return Workspace(root)


def _make_jobs(root: str) -> Jobs:
    from pruning_core.apart import household
    from pruning_core.runs.jobs import Jobs
    from pruning_core.runs.rules import Rules
    from pruning_core.studies.specs import PRODUCT

    settings = Settings.read()
    rules = Rules(
        queued_each=settings.queued_each,
        queued_all=settings.queued_all,
        longest_s=3600 * settings.longest_hours,
        stored_each=1e9 * settings.stored_gb,
        memory=1e9 * settings.memory_gb,
        unused_s=24 * 3600 * settings.unused_days,
    )
    crew = None
    if settings.scheduler:
        from pruning_core.studies.cluster import dask_crew

        crew = dask_crew(settings.scheduler, settings.certificates)
    return Jobs(_workspace(root), PRODUCT, elsewhere=household.elsewhere(), rules=rules, crew=crew)


_workspace: Once[Workspace] = Once(_make_workspace)
_jobs: Once[Jobs] = Once(_make_jobs)


def workspace() -> Workspace:
    """The data directory; one object per directory and process."""
    from pruning_core.storage.place import default_root

    return _workspace(str(default_root()))


def jobs() -> Jobs:
    """The background runs of this server."""
    from pruning_core.storage.place import default_root

    return _jobs(str(default_root()))


def close() -> None:
    """The server ends: running work stops where it can be taken up again."""
    for each in _jobs.made():
        each.close()


def loaded(ref: ModelRef) -> LoadedModel:
    """The model in eval mode. Shared: copy it before changing anything. Raises UserError."""
    return waiting(_("Loading the network …"), _loaded, ref.to_json(), str(workspace().root))


def network(ref: ModelRef) -> Network:
    """Its channel groups. Raises UserError when it cannot be captured."""
    return waiting(_("Reading how its layers are coupled …"), _network, ref.to_json(), str(workspace().root))


def keep_opened(opened: Opened) -> None:
    """What an import has built and looked at need not be opened once more."""
    _opened(opened.loaded.ref.to_json(), str(workspace().root), opened)


def splits(ref: DataRef) -> tuple[Dataset, Dataset]:
    """(train, test). Raises UserError when the data cannot be had."""
    return waiting(_("Loading the images …"), _splits, ref.to_json(), str(workspace().root))


# Cached by text and directory, not by object: a class that is defined anew when its file is edited must not empty the
# cache, and two directories (as in the tests) must not share one.


@st.cache_resource(show_spinner=False, max_entries=MODELS_KEPT)
def _opened(ref: str, root: str, _fresh: Opened | None = None) -> LoadedModel | Opened:
    """With its groups where it was opened in a process of its own, which found them on the way."""
    from pruning_core.apart import household
    from pruning_core.zoo import ModelRef

    return _fresh or household.open_network(ModelRef.from_json(ref), _workspace(root))


def _loaded(ref: str, root: str) -> LoadedModel:
    from pruning_core.zoo import LoadedModel

    found = _opened(ref, root)
    return found if isinstance(found, LoadedModel) else found.loaded


@st.cache_resource(show_spinner=False, max_entries=MODELS_KEPT)
def _network(ref: str, root: str) -> Network:
    import torch

    from pruning_core.graph import capture
    from pruning_core.zoo import LoadedModel

    found = _opened(ref, root)
    if not isinstance(found, LoadedModel):
        return found.network
    return capture(found.model, torch.zeros(1, *found.input_size))


@st.cache_resource(show_spinner=False, max_entries=DATA_KEPT)
def _splits(ref: str, root: str) -> tuple[Dataset, Dataset]:
    from pruning_core.datasets import DataRef, load_splits

    return load_splits(DataRef.from_json(ref), _workspace(root).root)


def warm_up() -> None:
    """Called once, in a thread, when the server starts: whatever the first page needs."""
    import pages.ui.charts  # noqa: F401  (and with it plotly and pandas, before anybody waits for a figure)
    from pages.ui.desk import first_desk
    from pruning_core.studies.measure import EvaluateRun

    first = first_desk()
    jobs().submit(EvaluateRun(first.model, first.data), "the server")
    loaded(first.model)
    network(first.model)
    splits(first.data)
