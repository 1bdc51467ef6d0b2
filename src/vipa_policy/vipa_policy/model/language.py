"""The tokenizer of a published InternVL: any sentence, in the model's own chat format.

The other kind of ``vipa_policy.model.vocabulary.Vocabulary``. Saved with a checkpoint as ``tokenizer.json`` (of the
tokenizers library, as the published folder has it), ``chat.json`` and ``tasks.json``. Guarded by
tests/unit/test_vocabulary.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer

from vipa_policy.errors import CheckpointError, InstructionError
from vipa_policy.instruction import normalise
from vipa_policy.model.chat import IMAGE_TOKEN, Chat, read_chat
from vipa_policy.model.vocabulary import TaskTemplate, Vocabulary, shown

LONGEST = 64  # tokens of an instruction: some fifty words; what is longer is no instruction for one motion


class PublishedVocabulary(Vocabulary):
    """A published tokenizer. Templates, where there are any, say what was trained; other sentences are let through."""

    kind = "published"

    def __init__(self, tokenizer: Tokenizer, templates: Sequence[TaskTemplate], chat: Chat) -> None:
        super().__init__(tokenizer, templates, chat)
        self._control = {
            token for token, entry in tokenizer.get_added_tokens_decoder().items() if entry.special
        } | {self.image_token, self.token("<img>"), self.token("</img>"), self.end}  # fmt: skip

    @classmethod
    def read(cls, folder: Path, templates: Sequence[TaskTemplate] = ()) -> PublishedVocabulary:
        """Read the tokenizer in a published model's folder.

        Raises CheckpointError where there is none, or it is not that of an InternVL in transformers' format.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            raise CheckpointError(
                f"expected a tokenizer (tokenizer.json, tokenizer_config.json) in {folder}, "
                f"got {type(error).__name__}: {error}; copy the whole folder again"
            ) from error
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None or backend.token_to_id(IMAGE_TOKEN) is None:
            raise CheckpointError(
                f"expected a tokenizer that knows {IMAGE_TOKEN!r} in {folder}, got {type(tokenizer).__name__} without "
                "it; take an InternVL in transformers' format (names ending in -HF)"
            )
        return cls(backend, templates, read_chat(tokenizer))

    @classmethod
    def from_documents(cls, documents: Mapping[str, Any]) -> PublishedVocabulary:
        """Read what ``documents`` returned."""
        templates = [TaskTemplate.from_dict(values) for values in documents["tasks.json"]]
        return cls(
            Tokenizer.from_str(json.dumps(documents["tokenizer.json"])),
            templates,
            Chat.from_dict(documents["chat.json"]),
        )

    def documents(self) -> dict[str, Any]:
        """Return what a checkpoint stores of it, file name to JSON."""
        return super().documents() | {"chat.json": self.chat.to_dict()}

    @property
    def size(self) -> int:
        """Number of rows an embedding needs for it: published ids may have gaps."""
        return 1 + max(self.tokenizer.get_vocab(with_added_tokens=True).values())

    def check(self, text: str) -> str:
        """Return the normalised instruction; raises InstructionError where it is empty or longer than ``LONGEST``."""
        words = normalise(text)
        if not words:
            raise InstructionError("expected an instruction, got an empty one; say what to do")
        count = len(self.ids(words))
        if count > LONGEST:
            raise InstructionError(
                f"expected an instruction of at most {LONGEST} tokens, got {count} in {shown(text)}; say it in fewer "
                "words, one motion at a time"
            )
        return words

    def ids(self, text: str) -> list[int]:
        """Return the token ids of a text; raises InstructionError where it holds tokens that steer the chat itself."""
        row = list(self.tokenizer.encode(text, add_special_tokens=False).ids)
        control = [token for token in row if token in self._control]
        if control:
            raise InstructionError(
                f"expected plain words, got {self.tokenizer.id_to_token(control[0])!r} in {shown(text)}, which steers "
                "the model's chat; leave it out"
            )
        return row

    @property
    def longest(self) -> int:
        """Number of tokens in the longest trained (without templates: allowed) instruction, with what closes it."""
        return super().longest if self._known else LONGEST + len(self.layout.closing)


KINDS: dict[str, type[Vocabulary]] = {kind.kind: kind for kind in (Vocabulary, PublishedVocabulary)}
