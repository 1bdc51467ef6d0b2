"""What a device really reaches: matrix products and memory traffic, measured in the run that is compared with them.

Guarded by tests/unit/test_bench.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from vipa_policy.bench.timing import clock
from vipa_policy.model.sizing.roofline import Card

PATIENCE = 5  # measurements that the best is taken of


def seconds_each(action: Callable[[], Any], device: torch.device, count: int) -> float:
    """Return the least time in s of an action over some measurements of ``count`` in a row."""
    now = clock(device)
    action()
    best = float("inf")
    for _ in range(PATIENCE):
        began = now()
        for _ in range(count):
            action()
        best = min(best, (now() - began) / count)
    return best


def matrix_peak(device: torch.device, dtype: torch.dtype, size: int, count: int = 10) -> float:
    """Return the FLOP/s of a product of two square matrices."""
    first, second = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty(size, size, device=device, dtype=dtype)
    return 2.0 * size**3 / seconds_each(lambda: torch.mm(first, second, out=out), device, count)


def bandwidth_peak(device: torch.device, size: int, count: int = 10) -> float:
    """Return the bytes/s that copying ``size`` bytes reads and writes."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2.0 * size / seconds_each(lambda: target.copy_(source), device, count)


def measure(device: torch.device, dtype: torch.dtype, size: int = 8192, traffic: int = 2**30) -> Card:
    """Return a device as a card of the roofline, its peaks measured now.

    Args:
        device: CUDA or processor.
        dtype: of the matrices.
        size: edge of them; large enough to fill the device.
        traffic: bytes of the copy; larger than every cache.
    """
    with torch.inference_mode():
        flops, bandwidth = matrix_peak(device, dtype, size), bandwidth_peak(device, traffic)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return Card(properties.name, flops, bandwidth, float(properties.total_memory), "measured in this run")
    return Card("processor", flops, bandwidth, 0.0, "measured in this run")
