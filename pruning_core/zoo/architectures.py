"""The networks this project can build itself: one line each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import nn

from pruning_core.errors import UserError
from pruning_core.zoo import torchvision_models
from pruning_core.zoo.gpt import Gpt
from pruning_core.zoo.huggingface_files.building import TRANSFORMERS, build_described
from pruning_core.zoo.huggingface_files.described import from_json
from pruning_core.zoo.interface import Input, Interface, Output
from pruning_core.zoo.resnet import CifarResNet
from pruning_core.zoo.vgg import POOL, VGG11, VGG16, VGG19, VggBn


@dataclass(frozen=True)
class NetworkFamily:
    """A kind of network that can be told from the shapes of its parameters.

    ``unclear`` is a sentence where shapes do not tell everything that the network computes, else ""; ``interface`` is
    what it reads and gives, where that is no image and no row of scores.
    """

    name: str
    build: Callable[..., nn.Module]
    infer: Callable[[Mapping[str, tuple[int, ...]]], dict[str, Any] | None]
    describe: Callable[[Mapping[str, Any]], str]
    input_size: tuple[int, ...]
    unclear: Callable[[Mapping[str, Any]], str] = lambda options: ""
    interface: Callable[[Mapping[str, Any]], Interface | None] = lambda options: None

    @property
    def usual(self) -> dict[str, Any]:
        """What ``build`` takes where it is told nothing else."""
        return {name: knob.default for name, knob in inspect.signature(self.build).parameters.items()}


CIFAR_RESNET = NetworkFamily(
    "cifar_resnet", CifarResNet, CifarResNet.infer, CifarResNet.describe, (3, 32, 32), CifarResNet.unclear
)
VGG_BN = NetworkFamily("vgg_bn", VggBn, VggBn.infer, VggBn.describe, (3, 32, 32))


def _of_tokens(options: Mapping[str, Any]) -> Interface:
    tokens, places = options["num_classes"], options["in_channels"]
    return Interface((Input("tokens", (places,), "int64", tokens),), (Output("scores", (tokens, places)),))


GPT = NetworkFamily("gpt", Gpt, Gpt.infer, Gpt.describe, (64,), interface=_of_tokens)
FAMILIES: tuple[NetworkFamily, ...] = (CIFAR_RESNET, VGG_BN, GPT)


@dataclass(frozen=True)
class Architecture:
    """A named member of a family. ``build`` takes num_classes and in_channels besides."""

    name: str
    title: str
    family: NetworkFamily
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    input_size: tuple[int, ...] = (3, 32, 32)

    def build(self, num_classes: int = 10, in_channels: int | None = None) -> nn.Module:
        """A new network with fresh random weights, in train mode."""
        channels = in_channels or self.input_size[0]
        return self.family.build(**self.options, num_classes=num_classes, in_channels=channels)


def _resnet(name: str, title: str, *blocks: int, **more: Any) -> Architecture:
    size = more.pop("input_size", (3, 32, 32))
    return Architecture(name, title, CIFAR_RESNET, MappingProxyType({"blocks": blocks, **more}), size)


def _vgg(name: str, title: str, *plan: int, **more: Any) -> Architecture:
    return Architecture(name, title, VGG_BN, MappingProxyType({"plan": plan}), more.pop("input_size", (3, 32, 32)))


WIDE = (64, 128, 256, 512)
DIGITS_PLAN = (16, 16, POOL, 32, 32, POOL, 64, 64, POOL)

ARCHITECTURES: tuple[Architecture, ...] = (
    _resnet("cifar_resnet20", "ResNet-20", 3, 3, 3),
    _resnet("cifar_resnet32", "ResNet-32", 5, 5, 5),
    _resnet("cifar_resnet44", "ResNet-44", 7, 7, 7),
    _resnet("cifar_resnet56", "ResNet-56", 9, 9, 9),
    _resnet("cifar_resnet110", "ResNet-110", 18, 18, 18),
    _resnet("cifar_resnet20_pad", "ResNet-20, zero-padded shortcuts", 3, 3, 3, shortcut="pad"),
    _resnet("cifar_resnet32_pad", "ResNet-32, zero-padded shortcuts", 5, 5, 5, shortcut="pad"),
    _resnet("cifar_resnet44_pad", "ResNet-44, zero-padded shortcuts", 7, 7, 7, shortcut="pad"),
    _resnet("cifar_resnet56_pad", "ResNet-56, zero-padded shortcuts", 9, 9, 9, shortcut="pad"),
    _resnet("cifar_resnet110_pad", "ResNet-110, zero-padded shortcuts", 18, 18, 18, shortcut="pad"),
    _resnet("cifar_resnet18", "ResNet-18 for 32 pixels", 2, 2, 2, 2, widths=WIDE),
    _resnet("digits_resnet", "Small ResNet for digits", 1, 1, 1, input_size=(1, 8, 8)),
    _vgg("cifar_vgg11_bn", "VGG-11 with batch norm", *VGG11),
    _vgg("cifar_vgg16_bn", "VGG-16 with batch norm", *VGG16),
    _vgg("cifar_vgg19_bn", "VGG-19 with batch norm", *VGG19),
    _vgg("digits_vgg", "Small VGG for digits", *DIGITS_PLAN, input_size=(1, 8, 8)),
    Architecture("text_gpt", "Small GPT for text", GPT, input_size=(64,)),
)


def architecture(name: str) -> Architecture:
    """The architecture called ``name``. Raises UserError when there is none."""
    for item in ARCHITECTURES:
        if item.name == name:
            return item
    raise UserError(f"There is no architecture called {name!r}. Choose one from the list.")


def named(family: NetworkFamily, options: Mapping[str, Any]) -> Architecture | None:
    """The architecture that ``options`` of ``family`` give, whatever its classes and input channels."""
    usual = family.usual
    wanted = {**usual, **options, "num_classes": None, "in_channels": None}
    for item in ARCHITECTURES:
        if item.family is family and {**usual, **item.options, "num_classes": None, "in_channels": None} == wanted:
            return item
    return None


def title_of(name: str, options: Mapping[str, Any]) -> str:
    """What to call the network that ``build(name, options)`` gives."""
    for family in FAMILIES:
        if family.name == name:
            item = named(family, options)
            return item.title if item else family.describe({**family.usual, **options})
    return from_json(options["repository"]).name if name == TRANSFORMERS else name


def interface_of(name: str, options: Mapping[str, Any]) -> Interface | None:
    """What the network that ``build(name, options)`` gives reads and gives; None for an image and a row of scores."""
    for family in FAMILIES:
        if family.name == name:
            return family.interface({**family.usual, **options})
    return None


def build(name: str, options: Mapping[str, Any]) -> nn.Module:
    """A network of a family, of transformers or a torchvision builder, by the arguments that were inferred for it."""
    if name == TRANSFORMERS:
        return build_described(**options)
    for family in FAMILIES:
        if family.name == name:
            return family.build(**options)
    return torchvision_models.build(name, **options)
