"""The whole network: two encoders, fusion, language model with action queries, pointing, action head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import InternVLForConditionalGeneration

from vipa_policy.model.chat import PromptLayout
from vipa_policy.model.config import ACTION_SIZE, STATE_SIZE, ModelConfig
from vipa_policy.model.fusion import CrossAttentionFusion
from vipa_policy.model.head import ActionHead, draw_times
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.pointing import Pointed, Pointing, pointing_loss
from vipa_policy.model.semantic import SemanticSide
from vipa_policy.model.spatial import SpatialTokens, fourier_features, make_spatial_encoder

ANCHOR_BANDS = 6
OFFSET_BANDS = 7  # down to 3 cm: what happens around the thing is finer than a normalised offset shows
ANCHOR_HIT = 0.04  # m: a pointed position this near to the true one is the named thing
ANCHOR_NOISE = 0.005  # m, so that the head does not trust a true anchor more than it may trust a predicted one


@dataclass(frozen=True)
class Targets:
    """Labels for B observations with K instructions each; positions in m in the reference camera's optical frame.

    Attributes:
        action: (B, K, horizon, ACTION_SIZE): position, 6-D rotation, gripper width in m.
        valid: (B, K, horizon) bool.
        pointed: (B, K, 3).
        pointed_known: (B, K) bool.
    """

    action: Tensor
    valid: Tensor
    pointed: Tensor
    pointed_known: Tensor


@dataclass(frozen=True)
class Condition:
    """What the head is told, for B observations with K instructions."""

    hidden: Tensor  # (B, K, queries, language width)
    pointed: Pointed | None  # None where the head is conditioned on the action queries alone
    spatial: SpatialTokens | None  # None in a network without a spatial encoder

    @property
    def anchor(self) -> Tensor:
        """Where the named thing is, (B, K, 3) m; the camera's own place where nothing is pointed at."""
        return self.hidden.new_zeros(*self.hidden.shape[:2], 3) if self.pointed is None else self.pointed.anchor


class VipaNetwork(nn.Module):
    """VIPA-VLA (paper section 3), with pointing between the language model and the head where it is configured."""

    def __init__(
        self,
        config: ModelConfig,
        image_token: int,
        normalisation: Normalisation,
        layout: PromptLayout | None = None,
        internvl: InternVLForConditionalGeneration | None = None,
    ) -> None:
        """Build the network.

        Args:
            config: sizes and choices.
            image_token: id of the image placeholder.
            normalisation: of actions and states.
            layout: what stands around images (``Vocabulary.layout``); None for nothing.
            internvl: a semantic side that has its weights already (vipa_policy.model.published).
        """
        super().__init__()
        self.config = config
        self.normalisation = normalisation
        language, head = config.semantic.language_width, config.head.width
        self.semantic = SemanticSide(config.semantic, image_token, layout, internvl)
        self.spatial = make_spatial_encoder(config.spatial)
        self.fusion = (
            CrossAttentionFusion(config.fusion, config.semantic.vision_width, config.spatial.width)
            if self.spatial is not None
            else None
        )
        self.queries = nn.Parameter(0.02 * torch.randn(config.head.queries, language))
        points = config.head.grounding == "pointing"
        self.pointing = Pointing(language, config.spatial.fine_width) if points else None
        self.query_out = nn.Sequential(nn.LayerNorm(language), nn.Linear(language, head))
        self.anchor_out = nn.Linear(6 * ANCHOR_BANDS + config.spatial.fine_width, head) if points else None
        self.head = ActionHead(config.head, config.horizon, STATE_SIZE + (6 * OFFSET_BANDS if points else 0))

    def image(self, inputs: NetworkInput) -> tuple[Tensor, SpatialTokens | None]:
        """Return the prompt up to the words (B, P, language width), fused where there is a spatial side, and that.

        The prompt: projected image tokens, and what the layout puts around them (vipa_policy.model.chat).
        """
        patches = self.semantic.patches(inputs.pixels)
        if self.spatial is None or self.fusion is None:
            return self.semantic.prefix(self.semantic.project(patches), inputs.views), None
        spatial = self.spatial(inputs)
        fused = self.fusion(patches.flatten(1, 2), spatial.tokens, spatial.mask).view(patches.shape)
        return self.semantic.prefix(self.semantic.project(fused), inputs.views), spatial

    def condition(self, inputs: NetworkInput, words: Tensor, words_mask: Tensor) -> Condition:
        """Encode observations and instructions.

        Args:
            inputs: B observations.
            words: (B, K, T) token ids, K instructions for each observation.
            words_mask: (B, K, T) bool, False at padding.
        """
        return self.condition_embedded(inputs, self.semantic.embed(words), words_mask)

    def condition_embedded(self, inputs: NetworkInput, words: Tensor, words_mask: Tensor) -> Condition:
        """Encode observations and instructions whose words are embedded already, (B, K, T, language width)."""
        batch, count = words.shape[:2]
        image, spatial = self.image(inputs)
        queries = self.queries.expand(batch, count, -1, -1)
        suffixes = torch.cat([words.to(image.dtype), queries.to(image.dtype)], dim=2)
        suffix_mask = torch.cat([words_mask, words_mask.new_ones(queries.shape[:3])], dim=2)
        hidden = self.semantic.read(image, suffixes, suffix_mask)[:, :, words.shape[2] :]
        pointed = None
        if self.pointing is not None and spatial is not None and spatial.fine is not None:
            pointed = self.pointing(hidden[:, :, 0], spatial.fine)
        return Condition(hidden, pointed, spatial)

    def head_tokens(self, condition: Condition, anchor: Tensor) -> Tensor:
        """Return (B, K, tokens, head width): the action queries, and what is seen at the anchors (B, K, 3) m."""
        queries: Tensor = self.query_out(condition.hidden)
        if condition.pointed is None or self.anchor_out is None:
            return queries
        feature = condition.pointed.feature
        where = fourier_features(anchor, ANCHOR_BANDS).to(feature.dtype)
        seen = self.anchor_out(torch.cat([where, feature], dim=-1))
        return torch.cat([queries, seen[:, :, None]], dim=2)

    def head_state(self, state: Tensor, anchor: Tensor, embodiment: Tensor | None = None) -> Tensor:
        """Return the normalised state, with pointing also the tip's offset at several scales, (B, K, state size)."""
        normalised = self.normalisation.state(state, anchor, embodiment)
        if self.pointing is None:
            return normalised
        return torch.cat([normalised, fourier_features(state[..., :3] - anchor, OFFSET_BANDS)], dim=-1)

    def teach_anchor(self, predicted: Tensor, targets: Targets, generator: torch.Generator | None) -> Tensor:
        """Return the anchors (B, K, 3) the head trains with: the predicted ones where they hit, else the true ones.

        A chunk towards one thing, told about another, teaches the head nothing; and where things are is for the
        grounding loss to teach, so no gradient flows back.
        """
        noise = torch.randn(predicted.shape, generator=generator, device=predicted.device)
        hit = (predicted - targets.pointed).norm(dim=-1) < ANCHOR_HIT
        use_true = targets.pointed_known & ~hit
        return torch.where(use_true[..., None], targets.pointed + ANCHOR_NOISE * noise, predicted)

    def loss(
        self,
        inputs: NetworkInput,
        words: Tensor,
        words_mask: Tensor,
        state: Tensor,
        targets: Targets,
        draws: int,
        generator: torch.Generator | None = None,
        embodiment: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the flow loss and, with pointing, its loss, its error in m and the share of named things it hits.

        Args:
            inputs: B observations.
            words, words_mask: as in ``condition``.
            state: (B, STATE_SIZE) measured tip: position, 6-D rotation, gripper width in m.
            targets: labels.
            draws: noises and times drawn per observation and instruction; the head is cheap.
            generator: of the noises.
            embodiment: (B,) long, whose observations these are, in a network of several embodiments.
        """
        condition = self.condition(inputs, words, words_mask)
        anchor = condition.anchor.detach()
        if condition.pointed is not None:
            anchor = self.teach_anchor(anchor, targets, generator)
        own = state[:, None].expand(-1, words.shape[1], -1)
        action = self.normalisation.action(targets.action, own, embodiment)
        count = anchor.shape[0] * anchor.shape[1]

        def repeat(values: Tensor) -> Tensor:
            return values.flatten(0, 1).repeat_interleave(draws, dim=0)

        noise = torch.randn(count * draws, *action.shape[2:], generator=generator, device=action.device)
        tau = draw_times(self.config.head.time_distribution, count * draws, generator, action.device)
        flow = self.head.flow_loss(
            repeat(action),
            repeat(self.head_state(own, anchor, embodiment)),
            repeat(self.head_tokens(condition, anchor)),
            repeat(targets.valid),
            noise,
            tau,
            embodiment=None if embodiment is None else repeat(embodiment[:, None].expand(anchor.shape[:2])),
        )
        losses = {"flow": flow}
        if condition.pointed is not None and condition.spatial is not None and condition.spatial.fine is not None:
            losses["pointing"] = pointing_loss(
                condition.pointed, condition.spatial.fine, targets.pointed, targets.pointed_known
            )
            losses |= pointing_measures(condition.pointed, targets)
        return losses

    @torch.inference_mode()
    def sample(
        self,
        inputs: NetworkInput,
        words: Tensor,
        words_mask: Tensor,
        state: Tensor,
        steps: int,
        generator: torch.Generator,
        embodiment: Tensor | None = None,
        guidance: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Pointed | None]:
        """Return (B, K, horizon, ACTION_SIZE) actions in SI units and what was pointed at.

        Arguments as in ``loss``, and the Euler ``steps``; ``guidance`` as in ``ActionHead.sample``.
        """
        condition = self.condition(inputs, words, words_mask)
        anchor = condition.anchor
        own = state[:, None].expand(-1, words.shape[1], -1)
        noise = torch.randn(
            anchor.shape[0] * anchor.shape[1],
            self.config.horizon,
            ACTION_SIZE,
            generator=generator,
            device=anchor.device,
        )
        noise = self.config.head.temperature * noise
        action = self.head.sample(
            noise,
            self.head_state(own, anchor, embodiment).flatten(0, 1),
            self.head_tokens(condition, anchor).flatten(0, 1),
            steps,
            embodiment=None if embodiment is None else embodiment.repeat_interleave(anchor.shape[1]),
            guidance=guidance,
        )
        return self.normalisation.metric(action.unflatten(0, anchor.shape[:2]), own, embodiment), condition.pointed


def pointing_measures(pointed: Pointed, targets: Targets) -> dict[str, Tensor]:
    """Return the mean distance in m between pointed and true positions, and the share within ANCHOR_HIT."""
    distance = (pointed.anchor.detach() - targets.pointed).norm(dim=-1)
    known = targets.pointed_known
    count = known.sum().clamp(min=1)
    return {
        "pointing_error": (distance * known).sum() / count,
        "named": ((distance < ANCHOR_HIT) & known).sum() / count,
    }
