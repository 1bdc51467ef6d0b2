"""Published InternVL weights: the single place that finds them, reads their sizes, and starts a network from them.

A folder or hub id in transformers' format (names ending in -HF): ``config.json``, safetensors in one file or in shards,
tokenizer. Pickles are refused. Guarded by tests/unit/test_published.py.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import InternVLConfig, InternVLForConditionalGeneration

from vipa_policy.errors import CheckpointError
from vipa_policy.model.config import ModelConfig, SemanticConfig
from vipa_policy.model.hub import HUB_ID, find_folder, first_line
from vipa_policy.model.language import PublishedVocabulary
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.semantic import internvl_config
from vipa_policy.model.vocabulary import TaskTemplate
from vipa_policy.model.weights import weight_files

MODEL_TYPE = "internvl"
STORED = ("dtype", "torch_dtype")  # how weights were stored says nothing about how they are to be computed with


def start(
    config: ModelConfig,
    normalisation: Normalisation,
    templates: Sequence[TaskTemplate] = (),
    dtype: torch.dtype = torch.float32,
) -> tuple[VipaNetwork, PublishedVocabulary]:
    """Return a network whose semantic side has the published weights that its configuration names, and its tokenizer.

    Args:
        config: ``semantic.published`` says where they are; the sizes of the semantic side are read from there.
        normalisation: of actions and states.
        templates: the instructions that will be trained.
        dtype: of the published weights.

    Raises:
        CheckpointError: there are none, they are pickles or cut short, or of another kind; says how to get them. Or
            the views are smaller than the model's tiles.
    """
    folder = find_published(config.semantic.published)
    resolved = resolve(config, folder)
    prepared, tile = resolved.spatial.image_size, resolved.semantic.image_size
    if prepared % tile:
        raise CheckpointError(
            f"expected prepared views of {tile} px, or a multiple, for the tiles of {config.semantic.published!r}, "
            f"got {prepared} px; prepare the training set at {tile} px"
        )
    vocabulary = PublishedVocabulary.read(folder, templates)
    if vocabulary.size > resolved.semantic.vocabulary_size:
        raise CheckpointError(
            f"expected at most {resolved.semantic.vocabulary_size} tokens (rows of the embedding in {folder}), "
            f"got a tokenizer of {vocabulary.size}; it belongs to another model"
        )
    model = load_model(resolved.semantic, folder, vocabulary.image_token, dtype)
    return VipaNetwork(resolved, vocabulary.image_token, normalisation, vocabulary.layout, model), vocabulary


def find_published(name: str) -> Path:
    """Return the folder of published weights; raises CheckpointError, saying how to get them, where there is none."""
    if not name:
        raise CheckpointError("expected semantic.published to name an InternVL (a folder or a hub id), got ''")
    try:
        folder = find_folder(name)
    except CheckpointError as error:
        raise CheckpointError(
            f"expected the published weights {name!r} in a folder or in the hub cache, got none ({error}). With a "
            f"network: hf download {name}. Without one: copy that folder here and set semantic.published to its path"
        ) from error
    weight_files(folder)
    return folder


def semantic_config(name: str | Path) -> SemanticConfig:
    """Return the sizes of a published InternVL, from its config.json alone.

    Args:
        name: folder or hub id; of a hub id nothing but the configuration is fetched.

    Raises:
        CheckpointError: it is not there, or the configuration of another kind of model.
    """
    file = find_config(str(name))
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} is cut short or no JSON ({error}); copy the folder again") from error
    if not isinstance(values, dict) or values.get("model_type") != MODEL_TYPE:
        got = values.get("model_type") if isinstance(values, dict) else type(values).__name__
        raise CheckpointError(
            f"expected model_type {MODEL_TYPE!r} in {file}, got {got!r}; take an InternVL in transformers' format "
            "(names ending in -HF)"
        )
    try:
        family = InternVLConfig(**values)
        return of_family(family, str(name))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{file} describes no InternVL: {first_line(error)}") from error


def find_config(name: str) -> Path:
    """Return a published model's config.json; errors as in ``semantic_config``."""
    path = Path(name).expanduser()
    if path.is_dir() or not HUB_ID.fullmatch(name):
        file = (path if path.is_dir() else find_published(name)) / "config.json"
        if not file.is_file():
            raise CheckpointError(f"{file.parent} lacks config.json; copy the whole folder again")
        return file
    try:
        return Path(hf_hub_download(name, "config.json"))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"expected config.json of {name!r} in the hub cache or on the hub, got {type(error).__name__}: "
            f"{first_line(error)}; hf download {name} config.json, or give the path of a folder"
        ) from error


def of_family(family: InternVLConfig, name: str) -> SemanticConfig:
    """Return the sizes of a transformers configuration, which goes along whole."""
    vision: Any = family.vision_config
    text: Any = family.text_config
    return SemanticConfig(
        image_size=vision.image_size[0],
        patch_size=vision.patch_size[0],
        vision_width=vision.hidden_size,
        vision_layers=vision.num_hidden_layers,
        vision_heads=vision.num_attention_heads,
        vision_feedforward=vision.intermediate_size,
        language_family=text.model_type,
        language_width=text.hidden_size,
        language_layers=text.num_hidden_layers,
        language_heads=text.num_attention_heads,
        language_key_value_heads=text.num_key_value_heads,
        language_head_size=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        language_feedforward=text.intermediate_size,
        vocabulary_size=text.vocab_size,
        layer_scale=vision.layer_scale_init_value,
        initial_range=text.initializer_range,
        tied=family.tie_word_embeddings,
        tokenizer="published",
        published=name,
        family=without_storage(json.loads(family.to_json_string(use_diff=False))),
    )


def without_storage(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without what says in which type its weights were stored."""
    return {
        name: without_storage(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if name not in STORED
    }


def resolve(config: ModelConfig, folder: Path | None = None) -> ModelConfig:
    """Return a configuration whose semantic side has the sizes of the published model that it names.

    Args:
        config: ``semantic.published`` names the model.
        folder: where it was found; None looks for its configuration alone.
    """
    read = semantic_config(folder or config.semantic.published)
    return dataclasses.replace(config, semantic=dataclasses.replace(read, published=config.semantic.published))


def load_model(
    config: SemanticConfig, folder: Path, image_token: int, dtype: torch.dtype = torch.float32
) -> InternVLForConditionalGeneration:
    """Return the published model with its weights; raises CheckpointError where the folder does not hold all of them.

    transformers reads them: it knows how the names in published files changed over its versions.
    """
    weight_files(folder)
    try:
        loaded: Any = InternVLForConditionalGeneration.from_pretrained(
            folder,
            config=internvl_config(config, image_token),
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"the weights in {folder} cannot be read ({type(error).__name__}: {first_line(error)}); "
            "copy the whole folder again"
        ) from error
    model, report = loaded
    problems = {kind: sorted(map(str, report.get(kind) or ())) for kind in ("missing_keys", "mismatched_keys")}
    for kind, names in problems.items():
        if names:
            raise CheckpointError(
                f"expected all weights of {config.published!r} in {folder}, got {len(names)} {kind.split('_')[0]} "
                f"(first: {names[0]}); copy the whole folder again"
            )
    return model
