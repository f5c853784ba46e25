"""Every text of a page under test: what it shows, says on hovering, and reads out; figures and tables too."""

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest

# Fields that are no text for people, by any element that has them; code is nobody's language.
ASIDE = {
    "id",
    "form_id",
    "url",
    "page",
    "page_script_hash",
    "icon",
    "format",
    "color",
    "mime_type",
    "key",
    "element_id",
}
ASIDE |= {"query_params", "url_path", "link_target", "query_param_key", "config", "theme", "class_name", "language"}
UNREAD = {"code", "html"}
FIGURE = {"text", "title", "name", "hovertemplate", "hovertext", "ticktext", "labels", "customdata", "x", "y"}
FIGURE |= {"label", "help"}  # of a column


def texts(app: AppTest) -> Iterator[str]:
    for part in (app.main, app.sidebar):
        for node in part:
            proto = getattr(node, "proto", None)
            if isinstance(proto, Message) and node.type not in UNREAD:
                yield from _of(proto)
            if node.type == "dataframe":
                yield from _of_table(node.value, json.loads(node.proto.columns or "{}"))


def _of(proto: Message) -> Iterator[str]:
    for field, value in proto.ListFields():
        for each in value if field.is_repeated else [value]:
            if field.name in ASIDE:
                continue
            if isinstance(each, Message):
                yield from _of(each)
            elif isinstance(each, str):
                yield from _of_json(json.loads(each)) if each.startswith("{") else [each]


def _of_table(frame: Any, columns: dict[str, Any]) -> Iterator[str]:
    """``columns``: how it shows them; None for one that it hides."""
    for name in frame:
        how = columns.get(str(name), {})
        if how is not None and not how.get("hidden"):
            yield how.get("label") or str(name)
            yield from dict.fromkeys(each for each in frame[name] if isinstance(each, str))


def _of_json(value: Any, shown: bool = False) -> Iterator[str]:
    """Of a figure, or of how a table shows its columns."""
    match value:
        case str() if shown:
            yield value
        case list():
            for each in value:
                yield from _of_json(each, shown)
        case dict():
            unseen = {"template"}  # what a click brings back, and what a trace is called in the code
            if "customdata" not in str(value.get("hovertemplate")):
                unseen.add("customdata")
            if value.get("showlegend") is False:
                unseen.add("name")
            for key, each in value.items():
                if key not in unseen:
                    yield from _of_json(each, key in FIGURE)
