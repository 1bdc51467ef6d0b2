"""Mixed precision in training: bf16 matrix products, fp32 weights and sums. Guarded by tests/unit/test_stages.py."""

from __future__ import annotations

from pathlib import Path

import torch

from vipa_policy.errors import TrainingError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def choose(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of matrix products: "fp32", "bf16", or "auto": bf16 where the device multiplies it in hardware.

    Raises TrainingError on any other word.
    """
    if precision == "auto":
        half = torch.cuda.is_bf16_supported() if device.type == "cuda" else bf16_in_hardware()
        return torch.bfloat16 if half else torch.float32
    if precision not in PRECISIONS:
        raise TrainingError(f"expected a precision (auto, {', '.join(PRECISIONS)}), got {precision!r}")
    return PRECISIONS[precision]


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return the context in which a loss is computed; it does nothing in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def bf16_in_hardware() -> bool:
    """Tell whether the processor multiplies bf16 natively; emulated, it is many times slower than fp32."""
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and any(name in flags.read_text() for name in ("amx_bf16", "avx512_bf16"))
