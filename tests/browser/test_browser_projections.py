"""A projection is inserted, branches are cut by a method, and everything that Download offers is read again."""

import io

import numpy as np
import onnxruntime
import torch
from playwright.sync_api import expect

from pruning_core.storage import Workspace
from pruning_core.zoo import import_model
from tests.browser.conftest import settle


def main(page):
    return page.get_by_test_id("stMain")


def download(page, kind, folder):
    """Prepare it where it has to be, and take it."""
    make = page.locator(f".st-key-download-{kind}-make button")
    ready = page.locator(f".st-key-download-{kind} :is(a, button)")
    expect(make.or_(ready)).to_be_visible()
    if make.is_visible():
        make.click()
    expect(ready).to_be_visible(timeout=120_000)
    settle(page)
    with page.expect_download() as got:
        ready.click()
    kept = folder / got.value.suggested_filename
    got.value.save_as(kept)
    return kept


def test_from_an_inserted_projection_to_every_download_and_back(server, visitor, shoot, tmp_path):
    page = visitor().new_page()
    page.goto(f"{server.url}/methods")
    settle(page)
    main(page).get_by_role("radio", name="With a projection inserted").click()
    button = main(page).get_by_role("button", name="Insert projections")
    button.click()
    expect(button).to_have_count(0)
    settle(page)
    main(page).get_by_role("spinbutton", name="Epochs in all").fill("1")
    page.keyboard.press("Enter")
    settle(page)
    main(page).get_by_role("button", name="Run ").first.click()
    keep = main(page).get_by_role("button", name="Keep this network")
    expect(keep).to_be_visible(timeout=180_000)
    settle(page)
    keep.click()
    main(page).get_by_role("link", name="Take it home").click()
    expect(page.get_by_role("heading", name="Download")).to_be_visible()
    kinds = ("pt2", "onnx", "weights", "script", "original", "plan", "recipe")
    taken = {kind: download(page, kind, tmp_path) for kind in kinds}
    shoot(page, "projected-download")

    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    wanted = torch.export.load(taken["pt2"]).module()(x).detach().numpy()
    session = onnxruntime.InferenceSession(taken["onnx"])
    assert np.allclose(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0], wanted, rtol=1e-3, atol=1e-4)
    back = import_model(io.BytesIO(taken["weights"].read_bytes()), "w.safetensors", Workspace(tmp_path / "data"))
    with torch.no_grad():
        assert np.allclose(back.model(x).numpy(), wanted, rtol=1e-3, atol=1e-4)
    assert any(name.endswith("project.weight") for name in back.model.state_dict())

    page.goto(f"{server.url}/load")
    settle(page)
    main(page).get_by_role("radio", name="A file of yours").first.click()
    page.locator('[data-testid="stFileUploader"] input').first.set_input_files(taken["weights"])
    expect(page.get_by_test_id("stSidebar")).to_contain_text(taken["weights"].name)
    settle(page)
    shoot(page, "projected-loaded")
