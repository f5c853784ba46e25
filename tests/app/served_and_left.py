"""A server of one page that keeps a folder in the session, to see what a closed tab leaves."""

import asyncio
import os
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

import streamlit as st

from pages.ui import leaving

if __name__ == "__main__":
    if "folder" not in st.session_state:
        st.session_state["folder"] = TemporaryDirectory(dir=os.environ["PRUNESCOPE_DATA"])
    st.text("here")
else:

    @asynccontextmanager
    async def lifespan(_):
        ending = asyncio.create_task(leaving.let_go())
        yield
        ending.cancel()

    app = st.App(__file__, lifespan=lifespan)
