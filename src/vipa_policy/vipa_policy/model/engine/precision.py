"""In which format a network runs, and its weights brought into it.

The rule: bf16 on a CUDA device that multiplies it in hardware, fp32 on a processor. On processors one observation at a
time was slower in bf16 than in fp32 even where AMX multiplies it (docs/inference.md): its matrices are too small.
Positions, rays and normalisation stay fp32 whatever the format: bf16 has steps of 4 mm at one metre.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from vipa_policy.errors import CheckpointError

FORMATS = ("auto", "fp32", "bf16")


def choose_format(name: str, device: torch.device) -> torch.dtype:
    """Return the format of "auto", "fp32" or "bf16" on a device; raises CheckpointError where there is no such."""
    if name not in FORMATS:
        raise CheckpointError(f"expected precision {', '.join(FORMATS)}, got {name!r}")
    if name == "auto":
        half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if half else torch.float32
    return torch.bfloat16 if name == "bf16" else torch.float32


def bring(network: nn.Module, device: torch.device, precision: torch.dtype) -> None:
    """Move a network to a device, and its parameters, not its buffers, into a format."""
    network.to(device)
    for parameter in network.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(precision)


def running(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """Return the context in which a network of that format runs."""
    if precision == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, precision)
