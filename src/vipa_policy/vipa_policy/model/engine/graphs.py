"""Calls replayed as CUDA graphs: one launch instead of thousands, for shapes that do not change.

Guarded by tests/unit/test_engine.py (what a call without a device does) and the tests marked ``gpu``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Tensors: TypeAlias = tuple[Tensor, ...]
WARM_UP = 3  # runs before the capture: libraries choose their kernels and allocate in them
MOST = 16  # graphs kept; each holds its own memory


@dataclass(frozen=True)
class Captured:
    """A captured graph with the tensors it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: Tensors
    outputs: Tensors


class GraphedCall:
    """A function of tensors on a CUDA device, captured once per shape and replayed from then on.

    The function must do the same work whatever the values: no branch on them, no random numbers.
    """

    def __init__(self, function: Callable[..., Tensors]) -> None:
        self.function = function
        self.captured: dict[tuple[tuple[torch.Size, torch.dtype], ...], Captured] = {}

    def __call__(self, *inputs: Tensor) -> Tensors:
        """Return the function's outputs; they are copies, and stay as they are when the graph runs again."""
        key = tuple((value.shape, value.dtype) for value in inputs)
        if key not in self.captured:
            if len(self.captured) >= MOST:
                self.captured.pop(next(iter(self.captured)))
            self.captured[key] = self.capture(inputs)
        held = self.captured[key]
        for static, value in zip(held.inputs, inputs, strict=True):
            static.copy_(value, non_blocking=True)
        held.graph.replay()
        return tuple(value.clone() for value in held.outputs)

    def capture(self, inputs: Tensors) -> Captured:
        """Run the function on a side stream until it is warm, and record it."""
        static = tuple(value.clone() for value in inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.function(*static)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self.function(*static)
        return Captured(graph, static, outputs)
