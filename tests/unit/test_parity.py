"""Without fusion the semantic side is the published model: transformers' own forward is the judge, to 1e-5 in fp32."""

import dataclasses

import pytest
import torch
from support.published_model import KINDS, save_published
from support.small_network import small_config
from transformers import AutoTokenizer, InternVLForConditionalGeneration

from vipa_policy.model import published
from vipa_policy.model.config import ModelConfig, SemanticConfig
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.normalisation import Normalisation

WORDS = "reach the red block"
TOLERANCE = 1e-5


def small_published(folder, kind: str = "none") -> ModelConfig:
    """The smallest network around the published model in a folder, with a spatial encoder or without."""
    small = small_config()
    return dataclasses.replace(
        small,
        semantic=SemanticConfig(published=str(folder)),
        spatial=dataclasses.replace(small.spatial, kind=kind),
        fusion=dataclasses.replace(small.fusion, undisturbed=True),
        head=dataclasses.replace(small.head, grounding="none"),
    )


def random_inputs(views: int, size: int = 32, spatial: int = 64, seed: int = 1) -> NetworkInput:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    return NetworkInput(
        draw(2, views, 3, size, size), draw(2, views, 3, spatial, spatial), 0.3 * draw(2, views, spatial, spatial, 2),
        0.7 + 0.1 * draw(2, views, spatial, spatial).abs(), torch.eye(4).expand(2, views, 4, 4),
    )  # fmt: skip


def transformers_ids(tokenizer, views: int, tokens: int) -> list[int]:
    """The prompt as InternVLProcessor makes it: rendered, every placeholder expanded in the text, tokenised whole."""
    content = [{"type": "image"}] * views + [{"type": "text", "text": WORDS}]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    text = text.replace("<IMG_CONTEXT>", f"<img>{'<IMG_CONTEXT>' * tokens}</img>")
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@torch.no_grad()
@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spatial", ["none", "pointmap"])
def test_features_and_logits_are_those_of_transformers(tmp_path, kind, views, spatial):
    """Once without a fusion, and once with one that has not been trained: ``undisturbed`` means just that."""
    folder = save_published(tmp_path / kind, kind)
    network, vocabulary = published.start(small_published(folder, spatial), Normalisation(16))
    network.eval()
    theirs = InternVLForConditionalGeneration.from_pretrained(folder).eval()
    inputs = random_inputs(views)
    features = theirs.get_image_features(inputs.pixels.flatten(0, 1)).pooler_output
    side = network.semantic
    ours = side.project(side.patches(inputs.pixels))
    assert (ours - features.reshape(ours.shape)).abs().max() < TOLERANCE

    tokens = ours.shape[1] // views
    ids = transformers_ids(AutoTokenizer.from_pretrained(folder), views, tokens)
    assert vocabulary.layout.prompt(views, tokens, vocabulary.image_token, vocabulary.ids(WORDS)) == ids
    batch = torch.tensor(ids).expand(2, -1)
    expected = theirs(input_ids=batch, pixel_values=inputs.pixels.flatten(0, 1)).logits
    words = torch.tensor(vocabulary.encode(WORDS)).expand(2, 1, -1)
    prompt, _ = network.image(inputs)
    hidden = side.read(prompt, side.embed(words), torch.ones_like(words, dtype=torch.bool))
    logits = side.logits(hidden)[:, 0]
    assert prompt.shape[1] + logits.shape[1] == expected.shape[1]
    assert expected.std() > 0.1  # something to compare
    assert (logits - expected[:, prompt.shape[1] :]).abs().max() < TOLERANCE


@torch.no_grad()
def test_a_middle_layer_of_the_vision_tower(tmp_path):
    """Some members of the family take features before the last layer."""
    folder = save_published(tmp_path / "middle")
    theirs = InternVLForConditionalGeneration.from_pretrained(folder).eval()
    theirs.config.vision_feature_layer = -2
    theirs.config.save_pretrained(folder)
    network, _ = published.start(small_published(folder), Normalisation(16))
    pixels = random_inputs(1).pixels
    side = network.eval().semantic
    ours = side.project(side.patches(pixels))
    features = theirs.get_image_features(pixels.flatten(0, 1)).pooler_output
    assert (ours - features).abs().max() < TOLERANCE
    last = theirs.get_image_features(pixels.flatten(0, 1), vision_feature_layer=-1).pooler_output
    assert (ours - last).abs().max() > 1e-2
