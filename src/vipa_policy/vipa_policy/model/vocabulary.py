"""Words: the tokenizer of a checkpoint and the instructions it was trained on."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from vipa_policy.errors import CheckpointError, InstructionError
from vipa_policy.instruction import normalise
from vipa_policy.model.semantic import IMAGE_TOKEN

PADDING, UNKNOWN = "<pad>", "<unk>"
SPECIAL = (PADDING, UNKNOWN, "<img>", "</img>", IMAGE_TOKEN)
LARGEST = 4096


@dataclass(frozen=True)
class TaskTemplate:
    """An instruction with slots: task "reach", template "reach the {colour} block", slots colour -> its words."""

    task: str
    template: str
    slots: Mapping[str, tuple[str, ...]]

    def instructions(self) -> list[str]:
        """Return every instruction the template stands for."""
        names = list(self.slots)
        choices = itertools.product(*(self.slots[name] for name in names))
        return [normalise(self.template.format(**dict(zip(names, choice, strict=True)))) for choice in choices]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "task": self.task,
            "template": self.template,
            "slots": {name: list(words) for name, words in self.slots.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaskTemplate:
        """Read what ``to_dict`` wrote."""
        slots = {name: tuple(words) for name, words in values["slots"].items()}
        return cls(values["task"], values["template"], slots)


class Vocabulary:
    """A word-level tokenizer and the templates that say which sentences were trained."""

    def __init__(self, tokenizer: Tokenizer, templates: Sequence[TaskTemplate]) -> None:
        self.tokenizer = tokenizer
        self.templates = tuple(templates)
        self._known = {sentence for template in templates for sentence in template.instructions()}
        self._words = {word for sentence in self._known for word in sentence.split()}

    @classmethod
    def build(cls, templates: Sequence[TaskTemplate]) -> Vocabulary:
        """Make a tokenizer of the words in the templates; raises CheckpointError beyond 4096 of them."""
        words = sorted({word for template in templates for line in template.instructions() for word in line.split()})
        entries = {word: index for index, word in enumerate([*SPECIAL, *words])}
        if len(entries) > LARGEST:
            raise CheckpointError(f"expected at most {LARGEST} words in a vocabulary, got {len(entries)}")
        tokenizer = Tokenizer(WordLevel(entries, unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = WhitespaceSplit()
        return cls(tokenizer, templates)

    @classmethod
    def from_json(cls, tokenizer: str, templates: Iterable[Mapping[str, Any]]) -> Vocabulary:
        """Read the tokenizer's JSON and the templates' dictionaries."""
        return cls(Tokenizer.from_str(tokenizer), [TaskTemplate.from_dict(values) for values in templates])

    @property
    def size(self) -> int:
        """Number of tokens."""
        return self.tokenizer.get_vocab_size()

    @property
    def image_token(self) -> int:
        """Id of the image placeholder."""
        token: int | None = self.tokenizer.token_to_id(IMAGE_TOKEN)
        if token is None:
            raise CheckpointError(f"expected a tokenizer that knows {IMAGE_TOKEN!r}, got one without; export it anew")
        return token

    def check(self, text: str) -> str:
        """Return the normalised instruction; raises InstructionError where it is outside what was trained."""
        words = normalise(text)
        if words in self._known:
            return words
        strange = [word for word in re.findall(r"\S+", words) if word not in self._words]
        shapes = "; ".join(f"'{template.template}'" for template in self.templates)
        slots = {name: values for template in self.templates for name, values in template.slots.items()}
        choices = ", ".join(f"{name}: {' '.join(values)}" for name, values in slots.items())
        problem = (
            f"this policy does not know the word{'s' if len(strange) > 1 else ''} {', '.join(map(repr, strange))}"
            if strange
            else "this policy knows the words but was not trained on the sentence"
        )
        raise InstructionError(f"{problem} in {text!r}. It understands {shapes} ({choices}).")

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a checked instruction."""
        return list(self.tokenizer.encode(self.check(text)).ids)

    def encode_batch(self, texts: Sequence[str], length: int | None = None) -> tuple[list[list[int]], list[list[bool]]]:
        """Return ids and validity of several instructions, padded on the left to the longest or to ``length``."""
        rows = [self.encode(text) for text in texts]
        width = max([len(row) for row in rows] if length is None else [length])
        ids = [[0] * (width - len(row)) + row for row in rows]
        mask = [[False] * (width - len(row)) + [True] * len(row) for row in rows]
        return ids, mask

    @property
    def longest(self) -> int:
        """Number of words in the longest instruction."""
        return max(len(sentence.split()) for sentence in self._known)
