"""The dashboard's server with one long run that nobody stops; started by test_orderly_end.py with `streamlit run`."""

import threading
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st

from pages.ui import server, state

if __name__ == "__main__":
    st.title("served")
else:

    def start() -> None:
        from pruning_core.studies.fine_tune import FineTuneRun
        from pruning_core.training.config import FineTune
        from pruning_core.zoo import DEMOS

        server.WARM_UP.wait()
        run = FineTuneRun(DEMOS[0].ref, DEMOS[0].data, FineTune(epochs=400, device="cpu"))
        state.jobs().submit(run, "ann")

    @asynccontextmanager
    async def lifespan(app):
        async with server.lifespan(app):
            threading.Thread(target=start, daemon=True).start()
            yield

    app = st.App(Path(__file__), lifespan=lifespan)
