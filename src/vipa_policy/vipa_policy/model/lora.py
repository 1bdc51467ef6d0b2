"""LoRA on the language model through ``peft``, new tokens' rows beside frozen ones, and the way back to plain weights.

For stages 2 and 3 (vipa_policy.model.stages). ``peft`` is imported only here and only when it is asked for: prediction
does not need it, since checkpoints hold plain weights. Guarded by tests/unit/test_lora.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vipa_policy.errors import TrainingError
from vipa_policy.model.network import VipaNetwork

ADAPTER = "default"  # peft's name of the only adapter there is
# Every matrix of a decoder layer in the Qwen and Llama families.
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class LoraSettings:
    """Low-rank adapters W + (alpha / rank) B A (Hu et al. 2022, section 4.1).

    Attributes:
        rank: of B A.
        alpha: scale, divided by the rank.
        dropout: on the adapters' input.
        targets: names of the language model's matrices that get one.
    """

    rank: int = 32
    alpha: float = 64.0
    dropout: float = 0.0
    targets: tuple[str, ...] = TARGETS

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 <= self.dropout < 1 or not self.targets:
            raise TrainingError(
                f"expected a LoRA rank of at least 1, dropout in [0, 1) and targets, got rank {self.rank}, dropout "
                f"{self.dropout} and targets {list(self.targets)}"
            )


class ExtendedEmbedding(nn.Module):
    """An embedding whose rows stay as they are, but for some that train as a parameter of their own.

    A parameter of their own, not a masked gradient: neither weight decay nor the optimiser's memory then touch the
    other 150,000 rows.
    """

    places: Tensor

    def __init__(self, base: nn.Embedding, ids: Tensor, rows: nn.Parameter) -> None:
        super().__init__()
        self.base = base
        self.rows = rows
        places = torch.full((base.num_embeddings,), -1, dtype=torch.long, device=ids.device)
        places[ids] = torch.arange(len(ids), device=ids.device)
        self.register_buffer("places", places, persistent=False)

    @property
    def weight(self) -> Tensor:
        """The embedding underneath, as transformers asks for it."""
        return self.base.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the embeddings of token ids of any shape."""
        place = self.places[tokens]
        return torch.where((place >= 0)[..., None], self.rows[place.clamp(min=0)], self.base(tokens))


class ExtendedOutput(nn.Module):
    """The same for the output embedding; where it is tied, ``rows`` is the same parameter."""

    ids: Tensor

    def __init__(self, base: nn.Linear, ids: Tensor, rows: nn.Parameter) -> None:
        super().__init__()
        self.base = base
        self.rows = rows
        self.register_buffer("ids", ids, persistent=False)

    @property
    def weight(self) -> Tensor:
        """The matrix underneath, as transformers asks for it."""
        return self.base.weight

    def forward(self, hidden: Tensor) -> Tensor:
        """Return scores (..., rows of the embedding) after hidden states."""
        scores = self.base(hidden)
        fresh = nn.functional.linear(hidden, self.rows.to(hidden.dtype))
        return scores.index_copy(-1, self.ids, fresh.to(scores.dtype))


def inject(network: VipaNetwork, settings: LoraSettings) -> None:
    """Put adapters on the language model, in place; they start at zero, so that nothing changes until they train.

    Raises TrainingError where ``peft`` is not installed, there are adapters already, or no target is in the model.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise TrainingError("LoRA needs the package peft, which is not installed: pip install peft") from error
    language = network.semantic.internvl.model.language_model
    if any(is_adapted(module) for module in language.modules()):
        raise TrainingError("expected a language model without adapters, got one that has them; merge them first")
    linear = {name.rpartition(".")[2] for name, module in language.named_modules() if isinstance(module, nn.Linear)}
    unknown = sorted(set(settings.targets) - linear)
    if unknown:
        raise TrainingError(
            f"expected LoRA targets among {', '.join(sorted(linear))}, got {', '.join(unknown)}; "
            "set lora.targets for this language model"
        )
    inject_adapter_in_model(
        LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft divides it, whatever number it is
            lora_dropout=settings.dropout,
            target_modules=list(settings.targets),
        ),
        language,
        ADAPTER,
    )


def extend(network: VipaNetwork, ids: Sequence[int]) -> None:
    """Let some tokens' rows train as a parameter of their own, in place, input and output; the values stay.

    Args:
        network: its language model's embeddings have rows for the tokens.
        ids: the new tokens.
    """
    internvl = network.semantic.internvl
    language = internvl.model.language_model
    embedding, output = language.embed_tokens, internvl.lm_head
    where = torch.tensor(sorted(set(ids)), device=embedding.weight.device)
    rows = nn.Parameter(embedding.weight.detach()[where].float())
    tied = output.weight is embedding.weight
    own = rows if tied else nn.Parameter(output.weight.detach()[where].float())
    language.embed_tokens = ExtendedEmbedding(embedding, where, rows)
    internvl.lm_head = ExtendedOutput(output, where, own)


def is_adapted(module: nn.Module) -> bool:
    """Tell whether a module is one of peft's LoRA layers."""
    return hasattr(module, "lora_A") and hasattr(module, "base_layer")


def plain_weight(module: Any) -> tuple[Any, nn.Parameter] | None:
    """Return the plain module inside an adapted or extended one and the weight that does the same; None for others.

    The weight is float32, whatever the frozen one is stored in: what was learned is smaller than bf16 can add to it.
    """
    if is_adapted(module):
        base = module.get_base_layer()
        weight = base.weight.detach().float() + module.get_delta_weight(ADAPTER).detach().float()
    elif isinstance(module, ExtendedEmbedding | ExtendedOutput):
        base = module.base
        ids = module.ids if isinstance(module, ExtendedOutput) else (module.places >= 0).nonzero().squeeze(1)
        weight = base.weight.detach().float().index_copy(0, ids, module.rows.detach().float())
    else:
        return None
    return base, nn.Parameter(weight, requires_grad=False)


@dataclass(frozen=True)
class Replaced:
    """An adapted or extended module that a plain one stands in for, and what the plain one's weight was."""

    parent: nn.Module
    attribute: str
    module: nn.Module
    base: Any
    weight: nn.Parameter


def merge(network: VipaNetwork) -> list[Replaced]:
    """Make the network a plain one with equal outputs and plain names, in place; return what was replaced."""
    replaced: list[Replaced] = []
    tied: dict[int, nn.Parameter] = {}
    for name, module in list(network.named_modules()):
        found = plain_weight(module)
        if found is None:
            continue
        base, weight = found
        parent, _, attribute = name.rpartition(".")
        replaced.append(Replaced(network.get_submodule(parent), attribute, module, base, base.weight))
        base.weight = tied.setdefault(id(base.weight), weight)
        setattr(network.get_submodule(parent), attribute, base)
    return replaced


@contextmanager
def merged(network: VipaNetwork) -> Iterator[None]:
    """Merge for the length of a ``with`` block, to save or to predict; adapters go on training afterwards.

    Everything is as it was then, to the bit: nothing is subtracted again.
    """
    replaced = merge(network)
    try:
        yield
    finally:
        for item in replaced:
            item.base.weight = item.weight
            setattr(item.parent, item.attribute, item.module)
