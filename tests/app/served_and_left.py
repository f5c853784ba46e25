"""A server of one page, to see what a closed tab leaves; its log says which sessions have ended."""

import asyncio
import logging
from contextlib import asynccontextmanager

import streamlit as st

from pages.ui import leaving

if __name__ == "__main__":
    st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    st.text(f"run {st.session_state['runs']}")
else:
    logging.basicConfig(level=logging.INFO)

    @asynccontextmanager
    async def lifespan(_):
        ending = asyncio.create_task(leaving.let_go())
        yield
        ending.cancel()

    app = st.App(__file__, lifespan=lifespan)
