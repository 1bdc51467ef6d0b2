"""Counts what a network really does and keeps, for tests of sizing: FLOPs, tensors kept for backward, live tensors."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from vipa_policy.model.config import ACTION_SIZE, STATE_SIZE, ModelConfig
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.sizing.operators import Call


def random_input(config: ModelConfig, call: Call) -> NetworkInput:
    """Return random views of plausible depth, on the default device."""
    batch, views, small, large = call.batch, call.views, config.semantic.image_size, config.spatial.image_size
    return NetworkInput(
        torch.randn(batch, views, 3, small, small),
        torch.randn(batch, views, 3, large, large),
        torch.randn(batch, views, large, large, 2),
        torch.rand(batch, views, large, large) + 0.5,
        torch.eye(4).repeat(batch, views, 1, 1),
    )


@dataclass
class Run:
    """One inference or forward pass of a network, part by part."""

    network: VipaNetwork
    call: Call
    inputs: NetworkInput
    state: Tensor = field(default_factory=lambda: torch.empty(0))
    condition: Tensor = field(default_factory=lambda: torch.empty(0))

    @classmethod
    def of(cls, network: VipaNetwork, call: Call) -> "Run":
        """Return a run with random inputs."""
        return cls(network, call, random_input(network.config, call))

    def prefix(self) -> None:
        """Everything before the head."""
        call = self.call
        words = torch.zeros(call.batch, call.instructions, call.words, dtype=torch.long)
        condition = self.network.condition(self.inputs, words, torch.ones_like(words, dtype=torch.bool))
        own = torch.randn(call.batch, STATE_SIZE)[:, None].expand(-1, call.instructions, -1)
        self.state = self.network.head_state(own, condition.anchor.detach()).flatten(0, 1)
        self.condition = self.network.head_tokens(condition, condition.anchor).flatten(0, 1)

    def noise(self) -> Tensor:
        """Return noise for every chunk."""
        return torch.randn(len(self.state), self.network.config.horizon, ACTION_SIZE)

    def sample(self) -> Tensor:
        """All steps of the flow."""
        steps = self.call.steps or self.network.config.head.flow_steps
        return self.network.head.sample(self.noise(), self.state, self.condition, steps)

    def head(self) -> Tensor:
        """One pass of the head, as in training."""
        action: Tensor = self.network.head(self.noise(), torch.rand(len(self.state)), self.state, self.condition)
        return action


def counted_flops(work: Callable[[], Any]) -> int:
    """Return the FLOPs that torch counts, attention as plain products (the fused kernels of a CPU are not counted)."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


@dataclass
class Kept:
    """Bytes of storages that autograd keeps, by the module in whose forward pass they were first kept."""

    bytes_of: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.bytes_of.values())


@contextmanager
def kept_for_backward(network: VipaNetwork, named: dict[str, nn.Module]) -> Iterator[Kept]:
    """Count what autograd keeps within the block, parameters left out; what no named module kept is under ""."""
    kept, stack = Kept(), [""]
    seen: dict[int, torch.UntypedStorage] = {
        id_of(value): value.untyped_storage() for value in (*network.parameters(), *network.buffers())
    }

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in seen:
            seen[storage._cdata] = storage  # held, so that no later one gets its number
            kept.bytes_of[stack[-1]] = kept.bytes_of.get(stack[-1], 0) + storage.nbytes()
        return value

    handles = []
    for name, module in named.items():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: stack.append(name)))
        handles.append(module.register_forward_hook(lambda *_: (stack.pop(), None)[1]))
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            yield kept
    finally:
        for handle in handles:
            handle.remove()


def id_of(value: Tensor) -> int:
    """Return the identity of a tensor's storage."""
    return int(value.untyped_storage()._cdata)


class LiveBytes(TorchDispatchMode):
    """Follows the storages that operators make; ``peak`` is the most that was alive at once, ``given`` included."""

    def __init__(self, given: list[Tensor], without: list[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = sum(value.nbytes for value in given)
        self._known = {id_of(value) for value in (*given, *without)}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and look at what it returned."""
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and id_of(value) not in self._known:
                storage = value.untyped_storage()
                self._known.add(id_of(value))
                self.now += storage.nbytes()
                weakref.finalize(storage, self._freed, id_of(value), storage.nbytes())
        self.peak = max(self.peak, self.now)
        return result

    def _freed(self, number: int, size: int) -> None:
        self._known.discard(number)
        self.now -= size
