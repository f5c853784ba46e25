"""A server behind a sign-in, with a page that says whose it is: what `test_oidc.py` starts. No torch."""

import streamlit as st

from pages.ui import oidc, server

if __name__ == "__main__":
    if not oidc.signed_in():
        st.stop()
    st.markdown(f"owner {oidc.owner()}")
    st.file_uploader("a file")
    oidc.draw_visitor()
else:
    app = st.App(__file__, middleware=server.middleware())
