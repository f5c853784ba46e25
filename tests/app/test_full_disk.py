"""A disk that is full or may not be written, as a visitor meets it: a sentence, nothing lost, and the way on."""

import errno
import os

import pytest
from starlette.testclient import TestClient

from pages.ui import outbox, state
from pages.ui.outbox import GONE, Offered, Offers, Outbox
from pruning_core.storage import trouble
from pruning_core.storage.workspace import Workspace
from tests.app.pruned_desk import pruned_desk
from tests.app.test_choose_page import app, desk, send  # noqa: F401 (app is a fixture)
from tests.app.test_download_page import ME, open_page  # noqa: F401 (a fixture)
from tests.app.test_finetune_page import healthy, one_thread, words  # noqa: F401 (one_thread is a fixture)
from tests.app.test_outbox import behind
from tests.core.upload_files import network, saved


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def said(app):  # noqa: F811
    return " ".join(each.value for each in app.error)


def test_a_file_that_found_no_room_is_prepared_once_there_is_some(open_page, monkeypatch):  # noqa: F811
    pruned_desk(state.workspace(), ME)
    page = open_page()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        page.button(key="download.weights.make").click().run()
        assert "disk of the data directory is full" in said(page)
        assert not list(state.workspace().root.rglob(".part-*")), "no half of a file is left in the way"
    page.button(key="download.weights.make").click().run()
    assert not said(page) and "digits-resnet-pruned.safetensors" in words(page)


@pytest.mark.parametrize("harm", ["cleaned away", "damaged"])
def test_a_prepared_file_that_is_gone_is_offered_to_be_prepared_again(open_page, harm, monkeypatch):  # noqa: F811
    offers = Offers()
    monkeypatch.setattr(outbox, "OFFERS", offers)
    page = healthy(open_page().button(key="download.weights.make").click().run())
    assert "download.weights.make" not in [each.key for each in page.button]
    token, given = next(each for each in offers._offered.items() if each[1].name.endswith(".safetensors"))
    path = state.workspace().artifacts.path(given.digest)
    path.unlink() if harm == "cleaned away" else path.write_bytes(b"other bytes")
    answer = TestClient(Outbox(behind)).get(f"/take/{token}/x")
    assert (answer.status_code, answer.text) == (404, GONE)
    healthy(page.run().button(key="download.weights.make").click().run())
    assert TestClient(Outbox(behind)).get(f"/take/{token}/x").status_code == 200


def test_what_was_offered_comes_where_nothing_can_be_written_any_more(tmp_path, monkeypatch):
    offers = Offers()
    monkeypatch.setattr(outbox, "OFFERS", offers)
    digest = Workspace(tmp_path).artifacts.put(b"a program")
    token = offers.token(Offered(str(tmp_path), digest, "a.pt2", "application/zip"), "ann")
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "utime", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "Read-only file system")))
    assert TestClient(Outbox(behind)).get(f"/take/{token}/x").content == b"a program"
    monkeypatch.setattr("pathlib.Path.open", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    broken = TestClient(Outbox(behind)).get(f"/take/{token}/x")
    assert (broken.status_code, broken.text) == (503, trouble.BROKEN)


def test_half_of_an_upload_does_not_stay(app, monkeypatch):  # noqa: F811
    before = desk()
    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfileobj", lambda file, out, _: (out.write(file.read(1000)), full()))
        app.segmented_control(key="choose.model.source").set_value("A file of yours").run()
        (chooser,) = (each for each in app.file_uploader if each.key.startswith("inbox.model."))
        chooser.set_value(("w.pt", saved(network().state_dict()).getvalue(), "application/octet-stream"))
        app.run()
    assert "disk of the data directory is full" in said(app) and desk() == before
    assert not [each for each in (state.workspace().root / "inbox").rglob("*") if each.is_file()]
    send(app, "model", "w.pt", saved(network().state_dict()).getvalue())
    assert desk().model.name == "w.pt"
