"""What to type instead: the lines that refusals recommend, each written once."""

from __future__ import annotations

EXPORT = (
    "torch.export.save(torch.export.export(model.eval(), (torch.zeros(2, 3, 224, 224),), "
    "dynamic_shapes=({0: torch.export.Dim.AUTO},)), 'model.pt2')"
)
"""The whole network in a file, for any number of images: two of them, of the size that it was made for, show it the
way. With one image, or without ``dynamic_shapes``, the program takes exactly that many at a time."""
WEIGHTS = "torch.save(model.state_dict(), 'weights.pt')"
