"""One page by itself, without the frame around it."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]


def opened(name: str, monkeypatch, **session) -> AppTest:
    """The page in a new session that begins with `session`."""
    monkeypatch.chdir(ROOT)
    page = AppTest.from_file(str(ROOT / "pages" / name / "page.py"), default_timeout=120)
    for key, value in session.items():
        page.session_state[key] = value
    page.run()
    assert not page.exception and not page.error, [each.value for each in page.error]
    return page


def carried(name: str, page: AppTest, monkeypatch) -> AppTest:
    """Another page, or the same one after a reload, for the visitor of `page`."""
    return opened(name, monkeypatch, owner=page.session_state["owner"])


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def text_of(page: AppTest) -> str:
    return "\n".join(each.value for kind in ("markdown", "caption", "success", "info") for each in getattr(page, kind))
