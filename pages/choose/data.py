"""Where the images come from, and what may be changed about them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.choose import details, inbox, limits, table
from pages.choose.progress import Bar
from pages.ui import numbers, state
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, about, said
from pages.ui.literal import literal, named
from pages.ui.nouns import IMAGE
from pruning_core.datasets import CIFAR_SAMPLE, DIGITS, SETS, TEXT_SAMPLE, DataRef, import_data, load_splits
from pruning_core.errors import UserError

BUNDLED, SAMPLE, TEXT, CLASSIC, FILE = (
    N_("Digits"), N_("CIFAR-10 sample"), N_("Python's help"), N_("Classic sets"), N_("A file of yours")
)  # fmt: skip
SLOT, TEST_SLOT = "data", "test data"
FAULT = "choose.data.fault"
HELP = N_("""
- **npz**: an array images, or inputs for numbers of any shape (several as inputs/name), and, if you have them, labels,
  classes, test_images, test_labels. Labels may be classes, or numbers of any shape; without any, a network is judged
  by how near it stays to what it gave.
- **zip**: one folder of images or WAV recordings per class, with or without train and test folders around them; images
  alone; or two folders with the same names in both, images and masks, or images and targets (also lr and hr);
  or images with a list of labels (one csv: a column of file names, then classes, columns of 0 and 1, or numbers), or
  with annotations (one json in COCO's form: boxes, outlines or run lengths).
- **csv, parquet**: a row for each example, columns of numbers, and one of them the target.
""")


def draw() -> None:
    with about(IMAGE):  # whatever lies on the desk now
        _sources()
    st.subheader(_("On the desk"))
    with plain_errors():
        details.draw(state.desk().data)


def _sources() -> None:
    source = st.segmented_control(
        _("Where from"),
        (BUNDLED, SAMPLE, TEXT, CLASSIC, FILE),
        format_func=_,
        default=BUNDLED,
        required=True,
        key="choose.data.source",
        persist_state="session",
        wrap=True,
    )
    match source:
        case "Digits":
            _here(
                DIGITS,
                _(
                    "Handwritten digits, grey, 8 × 8 pixels: 1,797 real images that come with "
                    "scikit-learn. No download."
                ),
                "choose.digits",
            )
        case "CIFAR-10 sample":
            _here(
                CIFAR_SAMPLE,
                _(
                    "2,000 of the test images of CIFAR-10, colour, 32 × 32 pixels, for measuring only: half of them to "
                    "choose by, half to report on. To train, take CIFAR10 under Classic sets. No download."
                ),
                "choose.sample",
            )
        case "Python's help":
            _here(
                TEXT_SAMPLE,
                _(
                    "The help texts that come with Python, in windows of 64 characters; each is labelled with the "
                    "character that follows. 5,391 windows to train on, 441 of other topics to report on. No download."
                ),
                "choose.text",
            )
        case "Classic sets":
            _classic()
        case _:
            _file()


def take(data: DataRef) -> None:
    """Put it on the desk. Raises UserError when it does not load."""
    if state.choose_data(data):
        st.toast(_("It is on the desk."), icon=":material/check:")
    st.rerun()


def _here(ref: DataRef, what: str, key: str) -> None:
    """Images that need no network."""
    st.caption(what)
    chosen = state.desk().data == ref
    if st.button(_("On the desk") if chosen else _("Use them"), disabled=chosen, key=key, wrap=True):
        with plain_errors():
            take(ref)


def _classic() -> None:
    for item in SETS:
        with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(
                _("**{name}**  \n:gray[downloaded once, about {megabytes} MB]").format(
                    name=item.name, megabytes=item.megabytes
                )
            )
            ref = DataRef("torchvision", item.name)
            chosen = state.desk().data == ref
            if st.button(
                _("On the desk") if chosen else _("Use it"), disabled=chosen, key=f"choose.set.{item.name}", wrap=True
            ):
                with plain_errors(), Bar(_("Fetching {name} …").format(name=item.name)) as bar:
                    load_splits(ref, state.workspace(), bar)
                    take(ref)


def _file() -> None:
    left, right = st.columns(2)
    with left:
        sent = inbox.receive(
            _("Data as .npz, .zip, .csv or .parquet"),
            SLOT,
            help=_(HELP),
        )
        if sent is not None:
            st.caption(_("Received {name}, {size}.").format(name=named(sent.name), size=numbers.size_bytes(sent.size)))
    with right:
        two = st.toggle(
            _("The test images are in a second zip"), key="choose.data.two", persist_state="session", wrap=True
        )
        test = inbox.receive(_("Test images as .zip"), TEST_SLOT, help=_("The same class folders.")) if two else None
        if test is not None:
            st.caption(_("Received {name}, {size}.").format(name=named(test.name), size=numbers.size_bytes(test.size)))
    if sent is None and test is None:
        st.caption(limits.of_images())
    if sent is None or (two and test is None):
        return
    fault = st.session_state.get(FAULT)
    fault = fault if fault is not None and fault[0] == (sent, test) else None
    if fault is not None:
        st.error(literal(said(fault[1])), icon=":material/error:")
    if table.is_table(sent):
        with plain_errors():
            told = state.loaded(state.desk().model).interface
            chosen = table.ask(sent, told is not None and any(each.whole for each in told.inputs))
            if chosen is not None:
                _read(sent, test, chosen)
    elif fault is None:
        _read(sent, test, _as_the_network_reads(sent))
    if st.button(
        _("Forget this file") if test is None else _("Forget these files"), key="choose.data.forget", wrap=True
    ):
        _forget()
        st.rerun()


def _as_the_network_reads(sent: inbox.Sent) -> dict[str, Any]:
    """The length of recordings, should there be some: as many samples as the network on the desk reads."""
    size = state.loaded(state.desk().model).input_size
    return {"samples": size[1]} if sent.name.lower().endswith(".zip") and len(size) == 2 and size[0] == 1 else {}


def _read(sent: inbox.Sent, test: inbox.Sent | None, chosen: dict[str, Any]) -> None:
    """Judge and keep the files; what is wrong with them stays on the page until others are sent."""
    try:
        with Bar(_("Reading {name} …").format(name=named(sent.name))) as bar:
            ref = import_data(
                sent.path, sent.name, state.workspace(), test_file=test.path if test else None, progress=bar,
                **chosen,
            )  # fmt: skip
            inbox.keep(sent, ref.digest)
            if test is not None:
                inbox.keep(test, ref.test_digest)
    except UserError as error:
        st.session_state[FAULT] = ((sent, test), str(error))
        st.rerun()
    _forget()
    take(ref)


def _forget() -> None:
    inbox.drop(SLOT)
    inbox.drop(TEST_SLOT)
    st.session_state.pop(FAULT, None)
