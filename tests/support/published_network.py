"""A small network around a small published model, what moves it, and the losses of its stages."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from support.small_network import small_config
from vipa_policy.model import mixed_precision, published
from vipa_policy.model.config import SemanticConfig
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.language import PublishedVocabulary
from vipa_policy.model.language_modelling import answer_loss, encode_conversation
from vipa_policy.model.lora import LoraSettings
from vipa_policy.model.network import Targets, VipaNetwork
from vipa_policy.model.normalisation import Normalisation

CPU = torch.device("cpu")
LORA = LoraSettings(rank=4, alpha=8.0)


def build(folder: Path, grounding: str = "none", dropout: float = 0.3) -> tuple[VipaNetwork, PublishedVocabulary]:
    """Return a network whose semantic side is the published model in a folder."""
    small = small_config()
    config = dataclasses.replace(
        small,
        semantic=SemanticConfig(published=str(folder)),
        fusion=dataclasses.replace(small.fusion, dropout=dropout),
        head=dataclasses.replace(small.head, grounding=grounding),
    )
    torch.manual_seed(0)
    return published.start(config, Normalisation(16))


def random_batch(seed: int = 1) -> NetworkInput:
    """Return two observations of two views, all noise."""
    generator = torch.Generator().manual_seed(seed)
    views = 2

    def draw(*shape: int) -> Tensor:
        return torch.randn(2, views, *shape, generator=generator)

    return NetworkInput(
        draw(3, 32, 32), draw(3, 64, 64), 0.3 * draw(64, 64, 2), 0.7 + 0.1 * draw(64, 64).abs(),
        torch.eye(4).expand(2, views, 4, 4),
    )  # fmt: skip


def loss_of(
    network: VipaNetwork, vocabulary: PublishedVocabulary, stage: str, precision: torch.dtype = torch.float32
) -> Tensor:
    """Return the loss of a stage on a fixed batch, noises and times."""
    inputs = random_batch()
    with mixed_precision.autocast(CPU, precision):
        if stage in ("1", "2"):
            talk = encode_conversation(vocabulary, [["where?"], ["how far?"]], [["left, 0.44m"], ["near"]], CPU)
            return answer_loss(network, inputs, talk)["answer"]
        ids, mask = vocabulary.encode_batch(["reach the red block", "pick it up"])
        generator = torch.Generator().manual_seed(3)
        state = torch.randn(2, 10, generator=generator)
        targets = Targets(
            torch.randn(2, 1, 16, 10, generator=generator), torch.ones(2, 1, 16, dtype=torch.bool),
            torch.zeros(2, 1, 3), torch.zeros(2, 1, dtype=torch.bool),
        )  # fmt: skip
        words, known = (torch.tensor(part)[:, None] for part in (ids, mask))
        return network.loss(inputs, words, known, state, targets, 2, generator)["flow"]


def awake(network: VipaNetwork) -> None:
    """Put something random in place of what starts at zero, so that gradients have something to say."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith(("head.", "fusion.")) and parameter.dim() > 0:
                parameter.add_(0.05 * torch.randn_like(parameter))
