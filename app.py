"""PruneScope's entry: page configuration, navigation and sidebar, nothing else.

`streamlit run app.py` imports this file once and serves the `app` it finds; for every visitor it then runs the file
again as a script. The two halves below are those two occasions.
"""

import streamlit as st

from pages.ui import oidc, server, sharing, sidebar
from pages.ui.errors import plain_errors
from pages.ui.language import _, call_examples
from pages.ui.nouns import IMAGE
from pages.ui.sidebar import Entry

if __name__ == "__main__":
    call_examples(IMAGE)  # until the page says what lies on the desk
    sections = {
        "": [
            Entry(st.Page("pages/home/page.py", title=_("Home"), default=True), ":material/home:"),
            Entry(st.Page("pages/choose/page.py", title=_("Load"), url_path="load"), ":material/folder_open:"),
            Entry(st.Page("pages/model/page.py", title=_("Model"), url_path="model"), ":material/deployed_code:"),
        ],
        _("Make it smaller"): [
            Entry(
                st.Page("pages/sensitivity/page.py", title=_("Sensitivity"), url_path="sensitivity"),
                ":material/grid_on:",
            ),
            Entry(st.Page("pages/whatif/page.py", title=_("What-if"), url_path="whatif"), ":material/content_cut:"),
            Entry(st.Page("pages/search/page.py", title=_("Search"), url_path="search"), ":material/query_stats:"),
            Entry(st.Page("pages/methods/page.py", title=_("Methods"), url_path="methods"), ":material/science:"),
            Entry(
                st.Page("pages/finetune/page.py", title=_("Fine-tune"), url_path="finetune"),
                ":material/model_training:",
            ),
            Entry(st.Page("pages/download/page.py", title=_("Download"), url_path="download"), ":material/download:"),
        ],
        _("Look closer"): [
            Entry(st.Page("pages/criteria/page.py", title=_("Criteria"), url_path="criteria"), ":material/balance:"),
            Entry(st.Page("pages/similarity/page.py", title=_("Similarity"), url_path="similarity"), ":material/hub:"),
            Entry(st.Page("pages/coupling/page.py", title=_("Coupling"), url_path="coupling"), ":material/link:"),
            Entry(
                st.Page("pages/granularity/page.py", title=_("Granularity"), url_path="granularity"), ":material/grain:"
            ),
            Entry(st.Page("pages/latency/page.py", title=_("Latency"), url_path="latency"), ":material/timer:"),
        ],
        _("Show"): [
            Entry(st.Page("pages/compare/page.py", title=_("Compare"), url_path="compare"), ":material/compare:"),
            Entry(st.Page("pages/show/page.py", title=_("Show"), url_path="show"), ":material/co_present:"),
            Entry(st.Page("pages/yours/page.py", title=_("Your files"), url_path="yours"), ":material/storage:"),
        ],
        _("Learn"): [
            Entry(st.Page("pages/lessons/page.py", title=_("Lessons"), url_path="lessons"), ":material/school:"),
            Entry(
                st.Page("pages/taxonomy/page.py", title=_("Taxonomy"), url_path="taxonomy"), ":material/account_tree:"
            ),
            Entry(st.Page("pages/myths/page.py", title=_("Myths"), url_path="myths"), ":material/psychology_alt:"),
        ],
    }
    page = st.navigation([entry.page for entries in sections.values() for entry in entries], position="hidden")
    st.set_page_config(page_title=f"{page.title} · PruneScope", page_icon="assets/logo-mark.png", layout="wide")
    if not oidc.signed_in():
        st.stop()
    sidebar.draw_navigation(sections)
    with server.first_paint_until_warm(page):
        sharing.receive()
        plan = sidebar.draw_desk()
    with plain_errors():
        page.run()
    plan.finish()
else:
    app = st.App(
        __file__,
        lifespan=server.lifespan,
        middleware=server.middleware(),
        on_script_error=server.on_script_error,
    )
