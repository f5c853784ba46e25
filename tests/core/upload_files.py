"""Files for the upload tests: honest networks, and what a hostile stranger would send."""

import io
import json
import os
import pickle
import struct
import zipfile

import torch

from pruning_core.zoo import architecture


def network(name="digits_resnet", classes=10, seed=0):
    """A small network with random weights and random running statistics, in eval mode."""
    torch.manual_seed(seed)
    model = architecture(name).build(classes)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def images(model, count=3, channels=1, side=8):
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(1))


def saved(content, **options):
    """``content`` as torch.save writes it."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    file.seek(0)
    return file


class Attack:
    """Unpickling this creates the file ``marker``."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def rezipped(file, change, compression=zipfile.ZIP_STORED):
    """The zip ``file`` with each member's bytes passed through ``change(name, data)``; None drops the member."""
    out = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, "w", compression) as new:
        for member in old.namelist():
            data = change(member, old.read(member))
            if data is not None:
                new.writestr(member, data)
    out.seek(0)
    return out


def checkpoint_of_pickle(data, storages=None, prefix="archive"):
    """A file of torch's zip format around a pickle written by hand."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{prefix}/data.pkl", data)
        archive.writestr(f"{prefix}/version", "3\n")
        for key, content in (storages or {}).items():
            archive.writestr(f"{prefix}/data/{key}", content)
    out.seek(0)
    return out


def tensor_pickle(size, stride, items, offset=0, name="conv1.weight"):
    """{name: tensor} as a pickle that refers to storage "0" of ``items`` floats."""

    def number(value):
        data = pickle.encode_long(value)
        return b"\x8a" + bytes([len(data)]) + data

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(items) + b"tQ"
    arguments = b"(" + storage + number(offset) + numbers(size) + numbers(stride) + b"\x89" + b"}" + b"t"
    return b"\x80\x02}" + text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."


def exported(model, example, dynamic=True):
    """``model`` as torch.export.save writes it, for any batch size unless not ``dynamic``."""
    shapes = ({0: torch.export.Dim("batch", min=1)},) if dynamic else None
    file = io.BytesIO()
    torch.export.save(torch.export.export(model, (example,), dynamic_shapes=shapes), file)
    file.seek(0)
    return file


def with_graph(file, edit):
    """An exported program whose parsed graph went through ``edit(graph)``, which changes it in place."""

    def change(name, data):
        if not name.endswith("models/model.json"):
            return data
        graph = json.loads(data)
        edit(graph)
        return json.dumps(graph).encode()

    return rezipped(file, change)
