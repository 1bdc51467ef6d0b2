"""Pointing: which of the things in view the words name, and where its grasp point lies.

A flow loss alone says nothing about which thing is meant and stays at chance for long. Here a query from the language
model is compared with every fine spatial feature; each of these also votes for the centre of the thing it belongs to
(after Hough voting, Qi et al. 2019, section 4.1), and the votes around the strongest one are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vipa_policy.model.inputs import exact
from vipa_policy.model.spatial import FineFeatures

REACH = 0.06  # m: votes further than this from the strongest one belong to something else
LONGEST_VOTE = 0.08  # m from a visible surface to the centre of the thing


@dataclass(frozen=True)
class Pointed:
    """For B observations with K instructions each.

    Attributes:
        logits: (B, K, M) over fine tokens, -inf where there is no depth.
        votes: (B, M, 3) m, reference optical frame.
        anchor: (B, K, 3) m: the pointed position.
        confidence: (B, K) share of the attention that agrees with the anchor, 0 to 1.
        feature: (B, K, fine_width) what is seen there.
    """

    logits: Tensor
    votes: Tensor
    anchor: Tensor
    confidence: Tensor
    feature: Tensor


class Pointing(nn.Module):
    """Compares a query with the fine spatial features and averages the winners' votes."""

    def __init__(self, language_width: int, fine_width: int) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.LayerNorm(language_width), nn.Linear(language_width, fine_width))
        self.key = nn.Linear(fine_width, fine_width)
        vote = nn.Linear(fine_width, 3)
        self.vote = nn.Sequential(nn.Linear(fine_width, fine_width), nn.GELU(), vote)
        nn.init.zeros_(vote.weight)
        nn.init.zeros_(vote.bias)

    def forward(self, hidden: Tensor, fine: FineFeatures) -> Pointed:
        """Point for every instruction; hidden is (B, K, language_width)."""
        query, key = self.query(hidden), self.key(fine.features)
        usable = fine.mask | ~fine.mask.any(dim=1, keepdim=True)
        logits = (query @ key.transpose(1, 2) / key.shape[-1] ** 0.5).float()
        logits = logits.masked_fill(~usable[:, None], -torch.inf)
        votes = fine.anchors + LONGEST_VOTE * self.vote(fine.features).float().tanh()
        weights = logits.softmax(dim=-1)
        strongest = logits.argmax(dim=-1)
        winner = votes.gather(1, strongest[..., None].expand(-1, -1, 3))
        near = torch.cdist(winner.detach(), votes.detach()) < REACH
        agreeing = weights * near
        confidence = agreeing.sum(dim=-1)
        shares = agreeing / confidence[..., None].clamp(min=1e-9)
        with exact(votes.device):
            anchor = shares.float() @ votes
        return Pointed(logits, votes, anchor, confidence, shares.to(fine.features.dtype) @ fine.features)


def pointing_loss(pointed: Pointed, fine: FineFeatures, target: Tensor, known: Tensor, radius: float = 0.035) -> Tensor:
    """Return the grounding loss: the attention falls on the named thing's surface, and votes there hit its centre.

    Args:
        pointed: as predicted.
        fine: the features pointed at.
        target: (B, K, 3) m, the named thing's grasp point.
        known: (B, K) bool, whether there is a target.
        radius: m around the target within which a surface point belongs to the thing (half the diagonal of a block).
    """
    distance = torch.cdist(target, fine.anchors)
    belongs = (distance < radius) & fine.mask[:, None]
    visible = known & belongs.any(dim=-1)
    logarithms = pointed.logits.log_softmax(dim=-1)
    on_target = logarithms.masked_fill(~belongs, -torch.inf)
    found = torch.where(visible[..., None], on_target, torch.zeros_like(on_target)).logsumexp(dim=-1)
    grounding = -(found * visible).sum() / visible.sum().clamp(min=1)
    miss = torch.nn.functional.smooth_l1_loss(
        pointed.votes[:, None].expand(-1, target.shape[1], -1, -1) * 100.0,
        target[:, :, None].expand(-1, -1, pointed.votes.shape[1], -1) * 100.0,
        reduction="none",
    ).sum(dim=-1)
    counted = belongs & visible[..., None]
    centring = (miss * counted).sum() / counted.sum().clamp(min=1)
    return grounding + 0.5 * centring
