"""Folders as a published InternVL in transformers' format has them: random weights, a small tokenizer, its template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import InternVLConfig, InternVLForConditionalGeneration, PreTrainedTokenizerFast

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXTS = (
    "user\nreach the red block", "assistant\nleft and down and forward, 0.44m", "pick up the green block",
    "how far away is it?", "where is the blue block in relation to the right hand, and how far away is it?",
    "near far the thing is it",
)  # fmt: skip
# How Qwen's tokenizer cuts text before it merges bytes.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Family members differ in these: language model, normalisation of queries and keys, pooling, key-value heads, tying.
KINDS: dict[str, dict[str, Any]] = {
    "qwen3": {
        "text": {"model_type": "qwen3", "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16},
        "vision": {"use_qk_norm": False, "use_mean_pooling": True, "attention_bias": True},
        "tied": True,
    },
    "qwen2": {
        "text": {"model_type": "qwen2", "num_attention_heads": 4, "num_key_value_heads": 1},
        "vision": {"use_qk_norm": False, "use_mean_pooling": False, "attention_bias": True},
        "tied": False,
    },
    "qwen2-qk-norm": {
        "text": {"model_type": "qwen2", "num_attention_heads": 2, "num_key_value_heads": 2},
        "vision": {"use_qk_norm": True, "use_mean_pooling": True, "norm_type": "rms_norm"},
        "tied": True,
    },
    "llama": {
        "text": {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2},
        "vision": {"use_qk_norm": True, "use_mean_pooling": False, "norm_type": "rms_norm"},
        "tied": False,
    },
}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with the family's special tokens and chat template."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PIECES), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=360, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, min_frequency=1
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens(list(SPECIAL))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_config(kind: str, image_token: int, image_size: int = 32, rows: int = 384) -> InternVLConfig:
    """Return the configuration of a small member of the family; ``rows`` of the embedding exceed the tokenizer's."""
    chosen = KINDS[kind]
    return InternVLConfig(
        vision_config={
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
            "image_size": [image_size, image_size], "patch_size": [8, 8], **chosen["vision"],
        },
        text_config={
            "hidden_size": 48, "num_hidden_layers": 2, "intermediate_size": 96, "vocab_size": rows,
            "max_position_embeddings": 1024, "tie_word_embeddings": chosen["tied"], **chosen["text"],
        },
        image_token_id=image_token,
        image_seq_length=(image_size // 16) ** 2,
        tie_word_embeddings=chosen["tied"],
    )  # fmt: skip


def make_model(kind: str, image_token: int, image_size: int = 32) -> InternVLForConditionalGeneration:
    """Return a small member of the family whose every parameter is random: nothing hides behind a zero or a one."""
    torch.manual_seed(0)
    model = InternVLForConditionalGeneration(make_config(kind, image_token, image_size)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def save_published(folder: Path, kind: str = "qwen3", image_size: int = 32, shard_size: str = "60KB") -> Path:
    """Write a folder as it would be published, weights in shards."""
    tokenizer = make_tokenizer()
    model = make_model(kind, tokenizer.get_vocab()["<IMG_CONTEXT>"], image_size)
    model.save_pretrained(folder, max_shard_size=shard_size)
    tokenizer.save_pretrained(folder)
    return folder
