"""The report on the Download page: measured when asked for, and full of what was measured."""

from pages.download import reporting
from pages.ui import made, state
from pages.ui.numbers import percent
from pruning_core.runs.view import State
from tests.app.pruned_desk import pruned_desk
from tests.app.test_download_page import ME, open_page, words  # noqa: F401 (open_page is a fixture)
from tests.app.test_finetune_page import healthy, one_thread  # noqa: F401 (a fixture)


def test_the_report_holds_what_was_measured(open_page):  # noqa: F811
    desk = pruned_desk(state.workspace(), ME, renewed=True)
    app = open_page()
    assert "Report" in words(app) and not [v for v in state.jobs().of(ME) if v.kind == "answers"]
    healthy(app.button(key="download.report.make").click().run())
    for view in state.jobs().of(ME):
        assert state.jobs().wait(view.id, 100).state is State.DONE
    healthy(app.run())
    _, digest, size, name = app.session_state[reporting.KEPT]
    text = state.workspace().artifacts.read(digest).decode()
    assert name == "digits-resnet-pruned.report.html" and len(text.encode()) == size
    views = tuple(state.jobs().snapshot(each) for each in made.runs_of_own(desk))
    whole, small = made.own(desk, views).sizes
    for each in (percent(whole.accuracy.top1), percent(small.accuracy.top1), f"{small.macs:,}", "450 test images"):
        assert each in text
    assert "channels were removed from 6 of 6 groups" in text and "torch.export.load" in text
    flipped = sum(a != b for a, b in zip(whole.predicted, small.predicted))
    assert text.count('<figure class="picture">') == min(24, flipped) and f"{flipped:,} images get another" in text
