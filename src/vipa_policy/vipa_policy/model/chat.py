"""Where images, words, answers and action queries stand in the language model's sequence: the single place for it.

    before  view  between  view  after  words  closing  answer | action queries

A published InternVL is asked in its own chat format, read from the template beside its weights (``read_chat``); the
image placeholder is expanded here, since transformers' InternVLProcessor needs torchvision. A network with a tokenizer
of words has nothing around its images. Guarded by tests/unit/test_chat.py and tests/unit/test_parity.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from vipa_policy.errors import CheckpointError

IMAGE_TOKEN = "<IMG_CONTEXT>"
IMAGE_MARKERS = (IMAGE_TOKEN, "<image>")  # what templates put where an image stands
WORDS_MARKER, ANSWER_MARKER = "VIPAWORDS", "VIPAANSWER"  # no template holds them


@dataclass(frozen=True)
class Chat:
    """The text around images, words and answers of one turn.

    Attributes:
        before: ahead of the first view.
        between: behind a view, ahead of the next one.
        after: behind the last view, ahead of the words.
        closing: behind the words, ahead of the answer.
        end: ends an answer; its first token does.
    """

    before: str
    between: str
    after: str
    closing: str
    end: str

    def to_dict(self) -> dict[str, str]:
        """Return plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> Chat:
        """Read what ``to_dict`` wrote; raises CheckpointError where it does not fit."""
        try:
            return cls(**values)
        except TypeError as error:
            raise CheckpointError(f"the checkpoint's chat.json does not fit: {error}; copy it again") from error


# As transformers' conversion of the InternVL family writes it (2.5 to 3.5; one turn, no system message).
INTERNVL_CHAT = Chat(
    before="<|im_start|>user\n<img>",
    between="</img>\n<img>",
    after="</img>\n",
    closing="<|im_end|>\n<|im_start|>assistant\n",
    end="<|im_end|>",
)
NO_CHAT = Chat("", "", "", "", "<end>")


@dataclass(frozen=True)
class PromptLayout:
    """A ``Chat`` in token ids; what is empty takes no place."""

    before: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()

    @classmethod
    def of(cls, chat: Chat, tokenizer: Tokenizer) -> PromptLayout:
        """Return the layout of a chat in a tokenizer's ids."""
        parts = (chat.before, chat.between, chat.after, chat.closing)
        return cls(*(tuple(tokenizer.encode(part, add_special_tokens=False).ids) if part else () for part in parts))

    def prompt(self, views: int, view_tokens: int, image_token: int, words: Sequence[int]) -> list[int]:
        """Return the whole prompt's ids as transformers' own forward takes them, placeholders expanded.

        Args:
            views: images of the prompt.
            view_tokens: language tokens of each.
            image_token: id of the placeholder.
            words: ids of the instruction or question, without ``closing``.
        """
        image = [image_token] * view_tokens
        ids = [*self.before, *image]
        for _ in range(views - 1):
            ids += [*self.between, *image]
        return [*ids, *self.after, *words, *self.closing]


def read_chat(tokenizer: PreTrainedTokenizerBase) -> Chat:
    """Return the chat of a published tokenizer, by rendering its own template; InternVL's where it has none.

    Raises CheckpointError where the template does not take images and a text.
    """
    if not tokenizer.chat_template:
        return INTERNVL_CHAT
    user: Any = {
        "role": "user",
        "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": WORDS_MARKER}],
    }
    answer: Any = {"role": "assistant", "content": [{"type": "text", "text": ANSWER_MARKER}]}
    asked = str(tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True))
    answered = str(tokenizer.apply_chat_template([user, answer], tokenize=False))
    marker = next((text for text in IMAGE_MARKERS if asked.count(text) == 2), None)
    if marker is None or asked.count(WORDS_MARKER) != 1 or answered.count(ANSWER_MARKER) != 1:
        raise CheckpointError(
            f"expected a chat template that places two images and a text, got {asked!r}; "
            "is it the tokenizer of an InternVL in transformers' format (names ending in -HF)?"
        )
    images, closing = asked.split(WORDS_MARKER)
    before, between, after = images.split(marker)
    if not before.endswith("<img>"):  # the processor, not the template, puts an image into its brackets
        before, between, after = before + "<img>", "</img>" + between + "<img>", "</img>" + after
    return Chat(before, between, after, closing, answered.split(ANSWER_MARKER)[1].strip())
