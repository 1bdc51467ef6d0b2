"""Words: the tokenizer of a checkpoint, and the instructions it takes.

Two kinds behind one interface: ``Vocabulary`` knows the words of its task templates and takes those sentences alone;
``vipa_policy.model.language.PublishedVocabulary`` is a published model's tokenizer and takes any sentence. Guarded by
tests/unit/test_vocabulary.py.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from vipa_policy.errors import CheckpointError, InstructionError
from vipa_policy.instruction import normalise
from vipa_policy.model.chat import IMAGE_TOKEN, NO_CHAT, Chat, PromptLayout

PADDING, UNKNOWN = "<pad>", "<unk>"
SPECIAL = (PADDING, UNKNOWN, "<img>", "</img>", IMAGE_TOKEN)
LARGEST = 4096
SHOWN = 80  # characters of an instruction that an error repeats


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

    kind = "words"

    def __init__(self, tokenizer: Tokenizer, templates: Sequence[TaskTemplate], chat: Chat = NO_CHAT) -> None:
        self.tokenizer = tokenizer
        self.templates = tuple(templates)
        self.chat = chat
        self.layout = PromptLayout.of(chat, tokenizer)
        self._known = {sentence for template in templates for sentence in template.instructions()}
        self._words = {word for sentence in self._known for word in sentence.split()}

    @classmethod
    def build(cls, templates: Sequence[TaskTemplate], texts: Iterable[str] = ()) -> Vocabulary:
        """Make a tokenizer of the words in the templates; raises CheckpointError beyond 4096 of them.

        Args:
            templates: the instructions.
            texts: further texts whose words are known: questions and answers.
        """
        sentences = [*texts, *(line for template in templates for line in template.instructions())]
        words = sorted({word for sentence in sentences for word in sentence.split()})
        # What ends an answer comes last: the words keep the ids they had before there were answers.
        entries = {word: index for index, word in enumerate([*SPECIAL, *words, NO_CHAT.end])}
        if len(entries) > LARGEST:
            raise CheckpointError(f"expected at most {LARGEST} words in a vocabulary, got {len(entries)}")
        tokenizer = Tokenizer(WordLevel(entries, unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = WhitespaceSplit()
        return cls(tokenizer, templates)

    @classmethod
    def from_documents(cls, documents: Mapping[str, Any]) -> Vocabulary:
        """Read what ``documents`` returned."""
        return cls.from_json(json.dumps(documents["tokenizer.json"]), documents["tasks.json"])

    @classmethod
    def from_json(cls, tokenizer: str, templates: Iterable[Mapping[str, Any]]) -> Vocabulary:
        """Read the tokenizer's JSON and the templates' dictionaries."""
        return cls(Tokenizer.from_str(tokenizer), [TaskTemplate.from_dict(values) for values in templates])

    def documents(self) -> dict[str, Any]:
        """Return what a checkpoint stores of it, file name to JSON."""
        return {
            "tokenizer.json": json.loads(self.tokenizer.to_str()),
            "tasks.json": [template.to_dict() for template in self.templates],
        }

    @property
    def size(self) -> int:
        """Number of tokens."""
        return self.tokenizer.get_vocab_size()

    @property
    def image_token(self) -> int:
        """Id of the image placeholder; raises CheckpointError where the tokenizer has none."""
        return self.token(IMAGE_TOKEN)

    @property
    def end(self) -> int:
        """Id of the token that ends an answer; raises CheckpointError where the tokenizer has none."""
        return self.token(self.chat.end)

    def token(self, text: str) -> int:
        """Return the id of a token that must be there; raises CheckpointError where it is not."""
        token: int | None = self.tokenizer.token_to_id(text)
        if token is None:
            raise CheckpointError(f"expected a tokenizer that knows {text!r}, got one without; export it anew")
        return token

    def check(self, text: str) -> str:
        """Return the normalised instruction; raises InstructionError where it is outside what was trained."""
        words = normalise(text)
        if words in self._known:
            return words
        raise InstructionError(f"{self._problem(words)} in {shown(text)}. It understands {self._understood()}.")

    def _problem(self, words: str) -> str:
        strange = [word for word in words.split() if word not in self._words]
        if not words:
            return "expected an instruction, got an empty one"
        if len(words.split()) > self._longest_words:
            return f"expected at most {self._longest_words} words, got {len(words.split())}"
        if strange:
            plural = "s" if len(strange) > 1 else ""
            return f"this policy does not know the word{plural} {', '.join(map(repr, strange))}"
        return "this policy knows the words but was not trained on the sentence"

    def _understood(self) -> str:
        shapes = "; ".join(f"'{template.template}'" for template in self.templates)
        slots = {name: values for template in self.templates for name, values in template.slots.items()}
        choices = ", ".join(f"{name}: {' '.join(values)}" for name, values in slots.items())
        return f"{shapes} ({choices})"

    @property
    def _longest_words(self) -> int:
        return max((len(sentence.split()) for sentence in self._known), default=0)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a checked instruction, with what closes it; errors as ``check``."""
        return [*self.ids(self.check(text)), *self.layout.closing]

    def encode_batch(self, texts: Sequence[str], length: int | None = None) -> tuple[list[list[int]], list[list[bool]]]:
        """Return ids and validity of several instructions, padded on the left to the longest or to ``length``."""
        return padded([self.encode(text) for text in texts], length)

    def ids(self, text: str) -> list[int]:
        """Return the token ids of any text of known words; raises InstructionError naming the unknown ones."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        strange = self.tokenizer.token_to_id(UNKNOWN)
        places = zip(encoding.ids, encoding.offsets, strict=True)
        unknown = [text[first:last] for token, (first, last) in places if token == strange]
        if unknown:
            raise InstructionError(
                f"expected words of the vocabulary, got {', '.join(map(repr, unknown))} in {shown(text)}; "
                "build the vocabulary from the texts it is to read"
            )
        return list(encoding.ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of an answer's ids, up to the token that ends it."""
        row = list(ids)
        if self.end in row:
            row = row[: row.index(self.end)]
        return str(self.tokenizer.decode(row, skip_special_tokens=False)).strip()

    @property
    def longest(self) -> int:
        """Number of tokens in the longest trained instruction, with what closes it."""
        return max(len(self.encode(sentence)) for sentence in self._known)


def padded(rows: Sequence[Sequence[int]], length: int | None = None) -> tuple[list[list[int]], list[list[bool]]]:
    """Return rows of ids and their validity, padded on the left to the longest row or to ``length``."""
    width = max(len(row) for row in rows) if length is None else length
    ids = [[0] * (width - len(row)) + list(row) for row in rows]
    mask = [[False] * (width - len(row)) + [True] * len(row) for row in rows]
    return ids, mask


def shown(text: str) -> str:
    """Return a text in quotes, cut where it is long."""
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")
