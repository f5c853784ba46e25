"""In a process of its own, which has seen nothing of the network: does every file that was taken home give the same?

Run with the folder that ``test_walks.py`` has filled; says nothing when all is well.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from pruning_core.export.document import read_document
from pruning_core.export.rebuild import rebuild
from pruning_core.export.recipe import read_recipe
from pruning_core.zoo import ModelRef, import_model, load_model


def same(what: str, found: Iterable[Any], wanted: list[Tensor]) -> None:
    for ours, theirs in zip(found, wanted, strict=True):
        ours = torch.as_tensor(ours)
        assert ours.shape == theirs.shape, f"{what}: {tuple(ours.shape)} instead of {tuple(theirs.shape)}"
        apart = float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-9))
        assert apart < 1e-4, f"{what}: {apart:g} apart"


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    known = json.loads((folder / "known.json").read_text())
    kept = torch.load(folder / "kept.pt", weights_only=True)
    given, packed, wanted, cut = kept["given"], kept["packed"], kept["wanted"], kept["cut"]
    root = Path(known["root"])
    with torch.no_grad():
        program = torch.export.load(folder / known["pt2"]).module()
        same("the exported program", tree_leaves(program(*given)), wanted)
        session = onnxruntime.InferenceSession((folder / known["onnx"]).read_bytes())
        named = dict(zip((each.name for each in session.get_inputs()), (each.numpy() for each in given), strict=True))
        same("ONNX", session.run(None, named), wanted)
        for kind in ("pt2", "onnx"):
            back = import_model(folder / known[kind], known[kind], root, input_size=known["size"])
            same(f"{kind} at the door", tree_leaves(back.model(packed)), wanted)
        base = load_model(ModelRef.from_json(known["base"]), root).model
        weights = (folder / known["weights"]).read_bytes()
        document = read_document((folder / known["plan"]).read_text())
        same("plan and weights", tree_leaves(rebuild(base, document, weights)(packed)), wanted)
        removal = read_recipe((folder / known["recipe"]).read_text()).apply(base)[1]
        same("the recipe", tree_leaves(removal.model(packed)), cut)
        script = loaded(folder / known["script"])
        out = str(folder / "out.safetensors")
        sys.argv = ["prune", "--weights", str(folder / known["original"]), "--tuned", str(folder / known["weights"]),
                    "--out", out]  # fmt: skip
        script.main()
        same("the script", tree_leaves(script.Program(script.load_state(out)).eval()(packed)), wanted)


def loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("prune", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["prune"] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(Path(sys.argv[1]))
