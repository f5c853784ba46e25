"""Winograd's convolution against the plain one."""

import pytest
import torch
from torch import Tensor, nn

from pruning_core.graph import capture
from pruning_core.replay.convolution import FusedConvolution
from pruning_core.replay.replay import Replay
from pruning_core.replay.winograd import convolve, transformed, worthwhile


def plain(x: Tensor, weight: Tensor, bias: Tensor, other: Tensor | None, relu: bool) -> Tensor:
    y = torch.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    y = y if other is None else y + other
    return y.relu() if relu else y


def worst(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("size", [(8, 8), (4, 4), (7, 5), (1, 9), (13, 32), (3, 3)], ids=str)
@pytest.mark.parametrize("images", [1, 3, 70])
def test_it_is_the_plain_convolution_on_maps_of_any_size(size, images):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(images, 6, *size), torch.randn(10, 6, 3, 3), torch.randn(10)
    other = torch.randn(images, 10, *size)
    for added in (None, other):
        for relu in (False, True):
            y = convolve(x, transformed(weight), bias, added, relu)
            assert worst(y, plain(x, weight, bias, added, relu)) < 5e-6
            assert y.is_contiguous(memory_format=torch.channels_last)


def test_a_kernel_worked_by_hand():
    """One image of one pixel 1 in the middle of 3 x 3: the output is the kernel, turned around."""
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 1] = 1
    weight = torch.arange(9.0).view(1, 1, 3, 3)
    y = convolve(x, transformed(weight), torch.tensor([0.5]), None, False)
    assert torch.allclose(y, torch.arange(8.0, -1.0, -1.0).view(1, 1, 3, 3) + 0.5, atol=1e-5)


def test_threads_share_the_images_and_change_nothing():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(37, 16, 9, 9), torch.randn(24, 16, 3, 3), torch.randn(24)
    alone = convolve(x, transformed(weight), bias, None, True)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    together = convolve(x, transformed(weight), bias, None, True)
    torch.set_num_threads(before)
    assert worst(together, alone.double()) < 1e-6


def test_any_order_in_memory_is_read_right():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 8, 6, 6), torch.randn(8, 8, 3, 3), torch.zeros(8)
    turned = x.contiguous(memory_format=torch.channels_last)
    last = weight.contiguous(memory_format=torch.channels_last)
    assert torch.equal(
        convolve(x, transformed(weight), bias, None, False), convolve(turned, transformed(last), bias, None, False)
    )


class Wide(nn.Module):
    """Convolutions that qualify, and all kinds that do not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.wide = nn.Conv2d(32, 32, 3, padding=1)
        self.stride = nn.Conv2d(32, 32, 3, stride=2, padding=1)
        self.spread = nn.Conv2d(32, 32, 3, padding=2, dilation=2)
        self.valid = nn.Conv2d(32, 32, 3)
        self.grouped = nn.Conv2d(32, 32, 3, padding=1, groups=2)
        self.point = nn.Conv2d(32, 32, 1)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.stem, self.wide, self.stride, self.spread, self.valid, self.grouped, self.point):
            x = layer(x).relu()
        return self.head(x.mean((2, 3)))


def test_only_what_it_is_made_for_is_tiled(one_thread):
    torch.manual_seed(0)
    model, x = Wide().eval(), torch.randn(4, 3, 16, 16)
    network = capture(model, x[:1])
    replay = Replay(model, network, x[:1], tile=True)
    steps = [step for step in replay.steps if isinstance(step, FusedConvolution)]
    assert [step.sources[0] for step in steps if step.tiled] == ["wide.weight"]
    assert not any(step.tiled for step in Replay.trusted(model, network, x[:1], device="cpu").convolutions.values())
    with torch.no_grad():
        scores, _ = replay.forward(x, set())
        assert worst(scores, model(x).double()) < 1e-5


def test_few_channels_are_not_worth_the_transforms(one_thread):
    assert worthwhile(torch.empty(64, 64, 3, 3)) and not worthwhile(torch.empty(64, 8, 3, 3))
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    assert worthwhile(torch.empty(256, 256, 3, 3)) and not worthwhile(torch.empty(64, 64, 3, 3))
    torch.set_num_threads(before)
