"""The semantic side: an InternVL model of transformers, taken apart where the spatial encoder joins.

The fusion sits between the vision tower and the pixel shuffle, as in VLM-3R (the paper says "projected back to the
vision feature dimension"). The language model sees the fused images once; any number of instructions follow them in one
sequence, each blind to the others, so that one image serves all of them.

Without a fusion it is the published model: tests/unit/test_parity.py compares image features and logits with those of
transformers' own forward.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import InternVLConfig, InternVLForConditionalGeneration

from vipa_policy.errors import CheckpointError
from vipa_policy.model.chat import PromptLayout
from vipa_policy.model.config import SemanticConfig


def internvl_config(config: SemanticConfig, image_token: int) -> InternVLConfig:
    """Return the transformers configuration of a semantic side: a published model's own, or one of these sizes.

    Raises CheckpointError where the published model has something that is not taken apart here.
    """
    if config.family:
        return family_config(config, image_token)
    grid = config.image_size // config.patch_size
    return InternVLConfig(
        vision_config={
            "hidden_size": config.vision_width,
            "num_hidden_layers": config.vision_layers,
            "num_attention_heads": config.vision_heads,
            "intermediate_size": config.vision_feedforward or 4 * config.vision_width,
            "image_size": (config.image_size, config.image_size),
            "patch_size": (config.patch_size, config.patch_size),
            "layer_scale_init_value": config.layer_scale,
            "initializer_range": config.initial_range,
        },
        text_config={
            "model_type": config.language_family,
            "vocab_size": config.vocabulary_size,
            "hidden_size": config.language_width,
            "num_hidden_layers": config.language_layers,
            "num_attention_heads": config.language_heads,
            "num_key_value_heads": config.language_key_value_heads or config.language_heads,
            "head_dim": config.language_head_size or config.language_width // config.language_heads,
            "intermediate_size": config.language_feedforward,
            "max_position_embeddings": 4096,
            "use_cache": False,
            "initializer_range": config.initial_range,
            "tie_word_embeddings": config.tied,
        },
        image_token_id=image_token,
        image_seq_length=(grid // 2) ** 2,
        tie_word_embeddings=config.tied,
    )


def family_config(config: SemanticConfig, image_token: int) -> InternVLConfig:
    """Return a published model's own configuration; its vocabulary may have grown since. Errors as above."""
    text = {**config.family["text_config"], "vocab_size": config.vocabulary_size}
    published = InternVLConfig(**{**config.family, "text_config": text, "image_token_id": image_token})
    if published.vision_feature_select_strategy != "default" or not isinstance(published.vision_feature_layer, int):
        raise CheckpointError(
            "expected a model that takes the patches of one vision layer (vision_feature_select_strategy 'default', "
            f"vision_feature_layer a number), got {published.vision_feature_select_strategy!r} and "
            f"{published.vision_feature_layer!r}"
        )
    if "sliding_attention" in (getattr(published.text_config, "layer_types", None) or ()):
        raise CheckpointError(
            f"expected a language model whose layers see the whole prompt, got {text['model_type']!r} "
            "with sliding windows; choose another model of the family"
        )
    return published


class SemanticSide(nn.Module):
    """Vision tower, projector and language model of InternVL, called one by one."""

    before: Tensor
    between: Tensor
    after: Tensor

    def __init__(
        self,
        config: SemanticConfig,
        image_token: int,
        layout: PromptLayout | None = None,
        internvl: InternVLForConditionalGeneration | None = None,
    ) -> None:
        """Build the side.

        Args:
            config: sizes.
            image_token: id of the image placeholder.
            layout: what stands around the images; None for nothing.
            internvl: a model that has its weights already; None builds one with initial weights.
        """
        super().__init__()
        self.config = config
        self.internvl = internvl or InternVLForConditionalGeneration(internvl_config(config, image_token))
        layout = layout or PromptLayout()
        for name in ("before", "between", "after"):
            self.register_buffer(name, torch.tensor(getattr(layout, name), dtype=torch.long), persistent=False)

    def patches(self, pixels: Tensor) -> Tensor:
        """Return (B, V, patches, vision_width) features of (B, V, 3, s, s) normalised images, class token dropped."""
        batch, views = pixels.shape[:2]
        layer = self.internvl.config.vision_feature_layer
        flat = pixels.flatten(0, 1)
        if layer == -1:
            states = self.internvl.model.vision_tower(pixel_values=flat).last_hidden_state
        else:
            states = self.internvl.model.vision_tower(pixel_values=flat, output_hidden_states=True).hidden_states[layer]
        return states[:, 1:].unflatten(0, (batch, views))

    def project(self, patches: Tensor) -> Tensor:
        """Return (B, V * patches / 4, language_width) of fused patches (B, V, patches, vision_width)."""
        batch, views, count, width = patches.shape
        side = int(count**0.5)
        shuffled = self.internvl.model.pixel_shuffle(
            patches.reshape(batch * views, side, side, width), self.internvl.config.downsample_ratio
        )
        projected = self.internvl.model.multi_modal_projector(shuffled.flatten(1, 2))
        return projected.reshape(batch, -1, projected.shape[-1])

    def prefix(self, image: Tensor, views: int) -> Tensor:
        """Return (B, P, language_width): image tokens (B, N, language_width) of V views, and what stands around them.

        Everything that comes before the words: computed once for any number of instructions.
        """
        if not len(self.before) + len(self.between) + len(self.after):
            return image
        batch = image.shape[0]

        def text(tokens: Tensor) -> Tensor:
            return self.embed(tokens).to(image.dtype).expand(batch, -1, -1)

        parts = [text(self.before)]
        for index, view in enumerate(image.unflatten(1, (views, -1)).unbind(dim=1)):
            parts += [text(self.between), view] if index else [view]
        return torch.cat([*parts, text(self.after)], dim=1)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the embeddings of token ids of any shape."""
        return self.internvl.get_input_embeddings()(tokens)

    def read(self, image: Tensor, suffixes: Tensor, suffix_mask: Tensor) -> Tensor:
        """Run the language model over one prefix and several suffixes that do not see each other.

        Args:
            image: (B, P, width) prefix: image tokens and what stands around them.
            suffixes: (B, K, T, width) embedded words and action queries, K instructions.
            suffix_mask: (B, K, T) bool, False at padding.

        Returns:
            (B, K, T, width) last hidden states of the suffixes.
        """
        _, count, length, _ = suffixes.shape
        prefix = image.shape[1]
        sequence = torch.cat([image, suffixes.flatten(1, 2)], dim=1)
        states = self.internvl.model.language_model(
            inputs_embeds=sequence,
            attention_mask=suffix_attention(prefix, suffix_mask, sequence.dtype),
            position_ids=suffix_positions(prefix, suffix_mask),
            use_cache=False,
        ).last_hidden_state
        return states[:, prefix:].unflatten(1, (count, length))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return (..., vocabulary_size) scores of the next token after last hidden states (..., language_width)."""
        return self.internvl.lm_head(hidden)


def suffix_positions(prefix: int, mask: Tensor) -> Tensor:
    """Return (B, prefix + K * T) positions: every suffix counts on from the image as if it stood there alone."""
    own = prefix + (mask.long().cumsum(dim=-1) - 1).clamp(min=0)
    image = torch.arange(prefix, device=mask.device).expand(mask.shape[0], -1)
    return torch.cat([image, own.flatten(1)], dim=1)


def suffix_attention(prefix: int, mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the (B, 1, L, L) additive mask: causal, suffixes blind to each other, padding seen by nobody."""
    batch, count, length = mask.shape
    total = prefix + count * length
    owner = torch.full((total,), -1, device=mask.device)
    owner[prefix:] = torch.arange(count, device=mask.device).repeat_interleave(length)
    allowed = torch.ones(total, total, dtype=torch.bool, device=mask.device).tril()
    allowed &= (owner[None, :] == -1) | (owner[None, :] == owner[:, None])
    known = torch.cat([mask.new_ones(batch, prefix), mask.flatten(1)], dim=1)
    # A padded position still attends to itself: a row that may see nothing would be NaN.
    visible = (allowed & known[:, None, :]) | torch.eye(total, dtype=torch.bool, device=mask.device)
    return torch.zeros(batch, 1, total, total, dtype=dtype, device=mask.device).masked_fill_(
        ~visible[:, None], torch.finfo(dtype).min
    )
