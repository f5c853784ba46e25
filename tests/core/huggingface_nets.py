"""One small image classifier of transformers for every kind that is looked at, and its repository as a zip."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
import transformers.models.auto.modeling_auto

CLASSES = 5
VIT = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 32, "patch_size": 8}
WIDE = VIT | {"intermediate_size": 40}
STAGES = {"depths": [1, 2], "hidden_sizes": [16, 32]}
SWIN = {"embed_dim": 12, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4, "image_size": 32, "patch_size": 2}
VISION = {"vision_config": WIDE}
# name -> (configuration of transformers, its settings, side of the images)
NETS: dict[str, tuple[str, dict[str, Any], int]] = {
    "vit": ("ViTConfig", WIDE, 32),
    "deit": ("DeiTConfig", WIDE, 32),
    "beit": ("BeitConfig", WIDE | {"use_relative_position_bias": True, "use_mean_pooling": True}, 32),
    "dinov2": ("Dinov2Config", VIT | {"mlp_ratio": 2}, 32),
    "dinov2 with registers": ("Dinov2WithRegistersConfig", VIT | {"mlp_ratio": 2}, 32),
    "clip": ("CLIPConfig", VISION, 32),
    "siglip": ("SiglipConfig", VISION, 32),
    "swin": ("SwinConfig", SWIN, 32),
    "swin v2": ("Swinv2Config", SWIN, 32),
    "segformer": (
        "SegformerConfig",
        {"num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "hidden_sizes": [8, 16], "mlp_ratios": [2, 2],
         "patch_sizes": [7, 3], "strides": [4, 2], "num_attention_heads": [1, 2]},
        64,
    ),
    "pvt v2": (
        "PvtV2Config",
        {"image_size": 64, "hidden_sizes": [8, 16, 16, 16], "depths": [1] * 4, "num_attention_heads": [1, 2, 2, 2],
         "mlp_ratios": [2] * 4},
        64,
    ),
    "resnet": ("ResNetConfig", STAGES | {"embedding_size": 8, "layer_type": "basic"}, 32),
    "resnet, bottlenecks": ("ResNetConfig", STAGES | {"embedding_size": 8}, 32),
    "regnet x": ("RegNetConfig", STAGES | {"embedding_size": 8, "groups_width": 8, "layer_type": "x"}, 32),
    "regnet y": ("RegNetConfig", STAGES | {"embedding_size": 8, "groups_width": 8, "layer_type": "y"}, 32),
    "convnext": ("ConvNextConfig", {"hidden_sizes": [8, 16], "depths": [1, 2], "num_stages": 2}, 32),
    "convnext v2": ("ConvNextV2Config", {"hidden_sizes": [8, 16], "depths": [1, 2], "num_stages": 2}, 32),
    "mobilenet v2": ("MobileNetV2Config", {"depth_multiplier": 0.1, "min_depth": 4, "image_size": 32}, 32),
    "efficientnet": (
        "EfficientNetConfig",
        {"image_size": 32, "width_coefficient": 0.25, "depth_coefficient": 0.25, "depth_divisor": 4, "hidden_dim": 320,
         "num_block_repeats": [1, 1, 2], "in_channels": [32, 16, 24], "out_channels": [16, 24, 40],
         "kernel_sizes": [3, 3, 5], "strides": [1, 2, 2], "expand_ratios": [1, 6, 6]},
        32,
    ),
    "poolformer": (
        "PoolFormerConfig",
        {"depths": [1, 1], "hidden_sizes": [8, 16], "num_encoder_blocks": 2, "patch_sizes": [7, 3], "strides": [4, 2],
         "padding": [2, 1], "mlp_ratio": 2.0},
        64,
    ),
    "levit": (
        "LevitConfig",
        {"image_size": 64, "hidden_sizes": [16, 24, 32], "num_attention_heads": [2, 3, 4], "depths": [1] * 3,
         "key_dim": [4] * 3, "mlp_ratio": [2] * 3, "attention_ratio": [2] * 3},
        64,
    ),
    "bit": ("BitConfig", {"embedding_size": 32, "num_groups": 4, "hidden_sizes": [32, 64], "depths": [1, 1]}, 64),
    "focalnet": (
        "FocalNetConfig",
        {"image_size": 32, "embed_dim": 8, "depths": [1, 1], "hidden_sizes": [8, 16], "focal_levels": [2, 2],
         "focal_windows": [3, 3]},
        32,
    ),
}  # fmt: skip


def classifier(name: str, **more: Any) -> Any:
    """The network called ``name`` among NETS, with random weights, in eval mode."""
    kind, settings, _side = NETS[name]
    config = getattr(transformers, kind)(**{"num_labels": CLASSES} | settings | more)
    torch.manual_seed(0)
    cls = transformers.models.auto.modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING[type(config)]
    cls = cls[0] if isinstance(cls, tuple) else cls
    return cls(config).eval()


def files_of(model: Any, pixels: Mapping[str, Any] | None = None, **saving: Any) -> dict[str, bytes]:
    """Its repository: name of a file -> what is in it."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, **saving)
        found = {each.name: each.read_bytes() for each in Path(folder).iterdir()}
    return found | ({"preprocessor_config.json": json.dumps(pixels).encode()} if pixels is not None else {})


def zipped(files: Mapping[str, bytes], folder: str = "") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(folder + name, data)
    return out.getvalue()


def changed(files: Mapping[str, bytes], **config: Any) -> dict[str, bytes]:
    """With these settings in its config.json; None takes one away."""
    said = json.loads(files["config.json"]) | config
    kept = {key: value for key, value in said.items() if value is not None}
    return {**files, "config.json": json.dumps(kept).encode()}
