"""What stays in view on every page: what is loaded, what is planned, what is running."""

import streamlit as st


def draw() -> None:
    st.logo("assets/logo.svg", size="large")
