"""Running statistics of activations: memory does not grow with the number of images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Moments:
    """Statistics per channel over images and positions, each (C,) float64.

    ``m2`` is the sum of squared distances to the mean, so that a constant channel has a variance of exactly 0.
    """

    count: int
    mean: Tensor
    m2: Tensor
    absolute: Tensor  # mean of |a|
    low: Tensor
    high: Tensor

    @staticmethod
    def of(maps: Tensor) -> Moments:
        """Statistics of (N, C, ...)."""
        flat = maps.flatten(2) if maps.ndim > 2 else maps.unsqueeze(2)  # (N, C, P)
        variance, mean = torch.var_mean(flat, dim=(0, 2), correction=0)
        low, high = flat.amin(dim=(0, 2)), flat.amax(dim=(0, 2))
        # what a rectifier lets through is its own absolute value
        absolute = mean if bool((low >= 0).all()) else flat.abs().mean(dim=(0, 2))
        count = flat.shape[0] * flat.shape[2]
        m2 = torch.where(low == high, 0.0, variance.double() * count)
        return Moments(count, mean.double(), m2, absolute.double(), low.double(), high.double())

    def merge(self, other: Moments) -> Moments:
        """Statistics of both together (Chan, Golub, LeVeque 1979)."""
        count = self.count + other.count
        share = other.count / count
        step = other.mean - self.mean
        return Moments(
            count,
            self.mean + step * share,
            self.m2 + other.m2 + step.square() * (self.count * share),
            self.absolute + (other.absolute - self.absolute) * share,
            torch.minimum(self.low, other.low),
            torch.maximum(self.high, other.high),
        )

    @property
    def variance(self) -> Tensor:
        """Of the population: divided by the count."""
        return self.m2 / self.count

    @property
    def square(self) -> Tensor:
        """Mean of a^2."""
        return self.variance + self.mean.square()
