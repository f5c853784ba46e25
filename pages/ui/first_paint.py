"""What the first visitor sees while PyTorch is still loading: the demo network's figures, as its training wrote them.

The frame of the page imports no torch, so it is on screen a second or two after the page was opened on a cold server;
these figures follow before the network itself is loaded.
"""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

from pages.ui import cards, numbers, provenance

DEMO = Path(__file__).resolve().parents[2] / "assets" / "digits_resnet.json"  # a test holds it equal to the first demo


def draw() -> None:
    from pruning_core.measuring.intervals import wilson  # late: the frame around this must not wait for it

    facts = json.loads(DEMO.read_text(encoding="utf-8"))
    accuracy = facts["accuracy"]
    images = accuracy["test_images"]
    low, high = wilson(round(accuracy["test"] * images), images)
    trained = provenance.measured(
        f"{facts['data']['name']} (test)",
        images=images,
        device=facts["device"],
        seed=facts["seed"],
        note=f"Written down by its training on {facts['date']}; it is measured again here as soon as PyTorch is there.",
    )
    counted = provenance.derived("counted when it was trained")
    st.title(facts["title"])
    places = cards.row(4)
    cards.number(
        "Top-1 accuracy",
        numbers.percent(accuracy["test"]),
        trained,
        detail=numbers.interval_text(low, high),
        container=places[0],
    )
    cards.number("Parameters", numbers.count(facts["parameters"]), counted, container=places[1])
    cards.number("Classes", numbers.count(len(facts["classes"])), counted, container=places[2])
    cards.number("Trained on", f"{facts['data']['training_images']:,}", trained, detail="images", container=places[3])
