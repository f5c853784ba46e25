"""A visitor without a browser: speaks to a running server as Streamlit's page does, for tests and for measuring load.

with Visitor("http://localhost:8501") as visitor:
    visitor.open("whatif")                     # a page, until its script has ended
    visitor.widget("slider", "Share removed")  # what stands on it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

XSRF = "_streamlit_xsrf"
PATIENCE_S = 120.0
LARGEST = 1 << 28  # bytes of a message


@dataclass
class Visitor:
    """One tab. ``http`` holds its cookies; ``elements`` is what the page shows, by where it stands."""

    address: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(follow_redirects=True, timeout=PATIENCE_S))
    elements: dict[tuple[int, ...], Any] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    session: str = ""
    redirected: str = ""
    _values: dict[str, dict[str, Any]] = field(default_factory=dict)
    _page: str = ""
    _query: str = ""
    _socket: ClientConnection | None = None

    def __enter__(self) -> Visitor:
        self.http.get(self.address, headers={"accept": "text/html"})
        self.http.get(f"{self.address}/_stcore/health")  # brings the token
        pairs = "; ".join(f"{each.name}={each.value}" for each in self.http.cookies.jar)
        token = self.http.cookies.get(XSRF) or ""
        self._socket = connect(
            f"ws://{urlsplit(self.address).netloc}/_stcore/stream", origin=Origin(self.address),
            subprotocols=[Subprotocol("streamlit"), Subprotocol(token)], additional_headers={"Cookie": pairs},
            max_size=LARGEST, open_timeout=PATIENCE_S,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def open(self, page: str = "", query: str = "") -> None:
        """Go to a page by its address; ``query``: what stands there after the question mark."""
        self._page, self._query = self.pages.get(page, ""), query
        self._values.clear()
        self._run(page if not self._page else "")

    def press(self, label: str) -> None:
        """The button with this label."""
        self._values[self.widget("button", label).id] = {"trigger_value": True}
        self._run()

    def slide(self, slider: Any, value: float) -> None:
        """Move a slider of one handle, or of two with the second moved."""
        at = [*list(slider.value or slider.default)[:-1], value]
        self._values[slider.id] = {"double_array_value": {"data": at}}
        self._run()

    def choose(self, group: Any, *labels: str) -> None:
        """Of a group of pills these, and no others."""
        self._values[group.id] = {"string_array_value": {"data": labels}}
        self._run()

    def widget(self, kind: str, label: str) -> Any:
        """Raises LookupError where the page has none."""
        for found in self.all(kind):
            if found.label == label:
                return found
        raise LookupError(f"no {kind} {label!r} among {[each.label for each in self.all(kind)]}: {self.text()}")

    def all(self, kind: str) -> list[Any]:
        return [getattr(each, kind) for each in self.elements.values() if each.WhichOneof("type") == kind]

    def text(self) -> str:
        """Everything that is written as text, headings and messages."""
        parts = [getattr(each, each.WhichOneof("type")) for each in self.elements.values() if each.WhichOneof("type")]
        return "\n".join(str(part.body) for part in parts if hasattr(part, "body"))

    def _run(self, url_page: str = "") -> None:
        message = BackMsg()
        wanted = message.rerun_script
        wanted.page_script_hash, wanted.page_name = self._page, url_page
        wanted.query_string, wanted.context_info.url = self._query, f"{self.address}/{url_page}"
        for name, value in self._values.items():
            state = wanted.widget_states.widgets.add(id=name)
            match value:
                case {"trigger_value": pressed}:
                    state.trigger_value = pressed
                case {"string_array_value": {"data": words}}:
                    state.string_array_value.data.extend(words)
                case {"double_array_value": {"data": numbers}}:
                    state.double_array_value.data.extend(numbers)
        self._send(message)
        for name in [name for name, value in self._values.items() if "trigger_value" in value]:
            del self._values[name]
        self._listen()

    def _send(self, message: BackMsg) -> None:
        assert self._socket is not None, "enter it first"
        self._socket.send(message.SerializeToString())

    def _listen(self) -> None:
        """Until the script has ended. What an earlier run left and this one did not draw again is gone."""
        assert self._socket is not None
        drawn: dict[tuple[int, ...], Any] = {}
        while True:
            data = self._socket.recv(PATIENCE_S)
            message = ForwardMsg.FromString(data if isinstance(data, bytes) else data.encode())
            match message.WhichOneof("type"):
                case "new_session":
                    self.session = message.new_session.initialize.session_id or self.session
                case "navigation":
                    self.pages = {each.url_pathname: each.page_script_hash for each in message.navigation.app_pages}
                    self._page = message.navigation.page_script_hash
                case "auth_redirect":
                    self.redirected = message.auth_redirect.url
                case "delta" if message.delta.WhichOneof("type") == "new_element":
                    drawn[tuple(message.metadata.delta_path)] = message.delta.new_element
                # A run that another one follows at once says that it ended early.
                case "script_finished" if message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    self.elements = drawn
                    return
