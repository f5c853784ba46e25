"""Addresses of files to take: only those that were offered, whole, under their names."""

from starlette.testclient import TestClient

from pages.ui import outbox
from pages.ui.outbox import Offered, Offers, Outbox, Written
from pruning_core.errors import UserError
from pruning_core.storage.workspace import Workspace


async def behind(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the pages"})


def test_what_was_offered_comes_whole_and_nothing_else_does(tmp_path, monkeypatch):
    offers = Offers()
    monkeypatch.setattr(outbox, "OFFERS", offers)
    store = Workspace(tmp_path).artifacts
    digest, other = store.put(b"<b>report</b>" * 1000), store.put(b"of somebody else")
    given = Offered(str(tmp_path), digest, '报告 "1".html', "text/html")
    token = offers.token(given, "ann")
    asked = TestClient(Outbox(behind))
    answer = asked.get(f"/under/take/{token}/whatever.html")
    assert answer.content == b"<b>report</b>" * 1000 and answer.headers["content-type"].startswith("text/html")
    said = answer.headers["content-disposition"]
    assert said.startswith("attachment; filename*=utf-8''%E6%8A%A5") and "no-store" in answer.headers["cache-control"]
    assert asked.head(f"/take/{token}/x").status_code == 200 and asked.post(f"/take/{token}/x").text == "the pages"
    for path in (f"/take/{other}/x", f"/take/{digest}/x", "/take//x"):
        assert asked.get(path).status_code == 404, path
    assert asked.get("/download").text == "the pages"
    store.path(digest).unlink()
    gone = asked.get(f"/take/{token}/x")
    assert gone.status_code == 404 and "prepared again" in gone.text


def test_what_is_written_when_it_is_taken_comes_as_it_is_then(monkeypatch):
    offers, now = Offers(), ["first"]
    monkeypatch.setattr(outbox, "OFFERS", offers)

    def write():
        if not now:
            raise UserError("it is gone")
        return now[0]

    tokens = [offers.token(Written("a plan", "计划.json", "application/json", each), "ann") for each in (write, write)]
    other = offers.token(Written("another plan", "计划.json", "application/json", write), "ann")
    assert tokens[0] == tokens[1] != other, "told apart by what they are"
    asked = TestClient(Outbox(behind))
    now[0] = "页"
    answer = asked.get(f"/take/{tokens[0]}/x")
    assert answer.text == "页" and answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''%E8%AE%A1%E5%88%92.json"
    now.clear()
    assert asked.get(f"/take/{other}/x").status_code == 404


def test_an_address_stays_and_is_each_visitors_own(monkeypatch):
    offers, given = Offers(), Offered("/data", "d" * 64, "a.pt2", "application/zip")
    assert offers.token(given, "ann") == offers.token(given, "ann") != offers.token(given, "bob")
    assert Offers().token(given, "ann") != offers.token(given, "ann"), "nobody can know it"
    monkeypatch.setattr(outbox, "MOST", 2)
    first, *_, last = [offers.token(Offered("/data", "d" * 64, f"{n}.pt2", ""), "ann") for n in range(4)]
    assert offers.of(first) is None and offers.of(last) is not None
