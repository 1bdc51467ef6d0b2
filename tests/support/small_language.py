"""Small random language models of transformers with a word-level tokenizer, for tests of motion tokens."""

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    InternVLForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from vipa_policy.model.chat import IMAGE_TOKEN
from vipa_policy.model.config import SemanticConfig
from vipa_policy.model.semantic import internvl_config

WORDS = ("<pad>", "<unk>", "<eos>", IMAGE_TOKEN, "move", "the", "left", "right", "hand", "red", "cup", "to")
FAMILIES = ("qwen3", "qwen3 untied", "internvl")


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of twelve words."""
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="<eos>", padding_side="left"
    )


def language_model(family: str, rows: int = len(WORDS), dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Return a random model of a family in FAMILIES with ``rows`` rows of embeddings."""
    torch.manual_seed(0)
    model: PreTrainedModel
    if family == "internvl":
        config = SemanticConfig(
            image_size=32, vision_width=32, vision_layers=1, vision_heads=2, language_width=32, language_layers=2,
            language_heads=2, language_feedforward=64, vocabulary_size=rows,
        )  # fmt: skip
        model = InternVLForConditionalGeneration(internvl_config(config, WORDS.index(IMAGE_TOKEN)))
    else:
        model = Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=rows, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                head_dim=8, intermediate_size=64, max_position_embeddings=512, initializer_range=0.2,
                tie_word_embeddings="untied" not in family,
            )
        )  # fmt: skip
    torch.nn.Module.to(model, dtype)
    return model.eval()
