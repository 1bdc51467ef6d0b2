"""Weights folded into their neighbours: exact in real numbers, to rounding in floating point.

A normalisation's scale and shift go into the linear map behind it, a layer's scale into the map before it, and maps
that read the same input become one. Guarded by tests/unit/test_fused.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Normalise = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Linear:
    """x -> x @ weight.T + bias; weight (outputs, inputs)."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, values: Tensor) -> Tensor:
        """Return (..., outputs) of values (..., inputs)."""
        return F.linear(values, self.weight, self.bias)

    @classmethod
    def of(cls, layer: nn.Linear) -> Linear:
        """Take a layer's weights."""
        return cls(layer.weight.detach(), None if layer.bias is None else layer.bias.detach())

    def filled(self) -> Tensor:
        """Return the bias, zeros where there is none."""
        return self.weight.new_zeros(len(self.weight)) if self.bias is None else self.bias

    def scaled(self, scale: Tensor) -> Linear:
        """Return scale * self(x); scale is (outputs,) or a number."""
        column = scale[:, None] if scale.ndim else scale
        return Linear((self.weight * column).contiguous(), None if self.bias is None else self.bias * scale)

    def behind(self, norm: nn.Module) -> Linear:
        """Return self(norm(x)) as a map of x normalised without scale and shift."""
        scale, shift = affine(norm)
        bias = self.bias if shift is None else self.filled() + self.weight @ shift
        return Linear(self.weight if scale is None else (self.weight * scale).contiguous(), bias)


def joined(*maps: Linear) -> Linear:
    """Return one map whose outputs are those of all, in order."""
    weight = torch.cat([part.weight for part in maps])
    if all(part.bias is None for part in maps):
        return Linear(weight, None)
    return Linear(weight, torch.cat([part.filled() for part in maps]))


def affine(norm: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    """Return scale and shift of a layer or root-mean-square normalisation, None for what it has not."""
    scale, shift = getattr(norm, "weight", None), getattr(norm, "bias", None)
    return (None if scale is None else scale.detach()), (None if shift is None else shift.detach())


def normaliser(norm: nn.Module) -> Normalise:
    """Return a normalisation without its scale and shift: a layer's, else the root mean square's of transformers."""
    if isinstance(norm, nn.LayerNorm):
        shape, epsilon = norm.normalized_shape, norm.eps
        return lambda values: F.layer_norm(values, shape, None, None, epsilon)
    size, epsilon = (len(norm.weight),), float(norm.variance_epsilon)  # type: ignore[arg-type]
    return lambda values: F.rms_norm(values, size, None, epsilon)


def split_heads(values: Tensor, heads: int) -> Tensor:
    """Return (..., heads, L, width / heads) of values (..., L, width)."""
    return values.unflatten(-1, (heads, -1)).transpose(-3, -2)


def join_heads(values: Tensor) -> Tensor:
    """Undo ``split_heads``."""
    return values.transpose(-3, -2).flatten(-2)
