"""A server behind a sign-in, with a page that says whose it is: what `test_oidc.py` starts. No torch."""

import streamlit as st

from pages.ui import oidc, server


def draw() -> None:
    st.markdown(f"owner {oidc.owner()}")
    st.file_uploader("a file")
    oidc.draw_visitor()


if __name__ == "__main__":
    page = st.navigation([st.Page(draw, title="Home", default=True), st.Page(draw, title="Other", url_path="other")])
    if not oidc.signed_in():
        st.stop()
    page.run()
else:
    app = st.App(__file__, middleware=server.middleware())
