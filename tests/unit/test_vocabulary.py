"""Two tokenizers behind one interface: what they take, what they refuse, what survives a checkpoint."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.published_model import SPECIAL, make_tokenizer, save_published

from vipa_policy.errors import CheckpointError, InstructionError
from vipa_policy.model.chat import INTERNVL_CHAT, PromptLayout, read_chat
from vipa_policy.model.language import KINDS, LONGEST, PublishedVocabulary
from vipa_policy.model.vocabulary import TaskTemplate, Vocabulary

TEMPLATES = [TaskTemplate("reach", "reach the {colour} block", {"colour": ("red", "green")})]
CONTROL = SPECIAL


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return PublishedVocabulary.read(save_published(tmp_path_factory.mktemp("p") / "x"), TEMPLATES)


@pytest.fixture(scope="module")
def words():
    return Vocabulary.build(TEMPLATES, ["how far away is it", "near far"])


@pytest.fixture(params=["words", "published"])
def either(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("text", ["", "   ", " . "])
def test_an_empty_instruction_is_refused(either, text):
    with pytest.raises(InstructionError, match="expected an instruction, got an empty one"):
        either.encode(text)


def test_an_over_long_instruction_is_refused_in_a_short_message(either):
    with pytest.raises(InstructionError, match=r"at most \d+ (words|tokens), got \d{4}") as caught:
        either.encode("reach the red block " * 2000)
    assert len(str(caught.value)) < 400


def test_what_was_saved_encodes_alike(either):
    documents = json.loads(json.dumps(either.documents()))
    again = KINDS[either.kind].from_documents(documents)
    assert again.encode("Reach the RED block.") == either.encode("reach the red block")
    assert (again.size, again.end, again.image_token) == (either.size, either.end, either.image_token)
    assert (again.layout, again.longest) == (either.layout, either.longest)


def test_a_batch_is_padded_on_the_left(either):
    texts = ["reach the red block", "reach the green block"]
    ids, mask = either.encode_batch(texts, either.longest + 3)
    for row, valid, text in zip(ids, mask, texts, strict=True):
        assert len(row) == either.longest + 3
        assert row[valid.index(True) :] == either.encode(text)


def test_words_takes_trained_sentences_alone(words):
    with pytest.raises(InstructionError, match="'mauve'"):
        words.encode("reach the mauve block")
    with pytest.raises(InstructionError, match="not trained on the sentence"):
        words.encode("block the red reach")
    with pytest.raises(InstructionError, match="'mauve'"):
        words.ids("how mauve is it")


def test_words_keep_their_ids_when_answers_end():
    """A checkpoint made before there were answers starts a run today: its words must be where they were."""
    known = Vocabulary.build(TEMPLATES).tokenizer.get_vocab()
    assert sorted(known, key=known.get) == [
        "<pad>", "<unk>", "<img>", "</img>", "<IMG_CONTEXT>", "block", "green", "reach", "red", "the", "<end>",
    ]  # fmt: skip


def test_a_vocabulary_without_an_end_says_so(words):
    documents = words.documents()
    entries = documents["tokenizer.json"]["model"]["vocab"]
    del entries["<end>"]
    old = Vocabulary.from_documents(documents)
    assert old.encode("reach the red block")
    with pytest.raises(CheckpointError, match="<end>"):
        _ = old.end


def test_published_takes_any_sentence(published):
    """Untrained ones too, in the chat format."""
    encoded = published.encode("Juggle three flaming torches!")
    text = published.tokenizer.decode(encoded, skip_special_tokens=False)
    assert text == "juggle three flaming torches<|im_end|>\n<|im_start|>assistant\n"
    published.encode("a " * (LONGEST // 2))


@pytest.mark.parametrize("token", CONTROL)
def test_nobody_steers_the_chat_by_an_instruction(published, token):
    with pytest.raises(InstructionError, match="steers"):
        published.ids(f"reach {token} the block")
    if token == token.lower():  # an instruction is in lower case, where the others are plain words
        with pytest.raises(InstructionError, match="steers"):
            published.encode(f"reach {token} the block")


@given(st.text(max_size=60))
def test_answers_survive_encoding(text):
    """Bytes, not words, are the published tokenizer's units: any text comes back."""
    vocabulary = ANY
    if not any(token in text for token in CONTROL):
        assert vocabulary.decode([*vocabulary.ids(text), vocabulary.end, 5]) == text.strip()


def test_the_layout_is_read_from_the_template():
    tokenizer = make_tokenizer()
    assert read_chat(tokenizer) == INTERNVL_CHAT
    system = "{{ '<|im_start|>system\nbe brief<|im_end|>\n' }}"
    tokenizer.chat_template = system + tokenizer.chat_template
    assert read_chat(tokenizer).before == "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\n<img>"
    tokenizer.chat_template = tokenizer.chat_template.replace("<IMG_CONTEXT>", "<image>")
    assert read_chat(tokenizer).between == "</img>\n<img>"
    tokenizer.chat_template = None
    assert read_chat(tokenizer) == INTERNVL_CHAT
    tokenizer.chat_template = "{{ 'hello' }}"
    with pytest.raises(CheckpointError, match="hello"):
        read_chat(tokenizer)


def test_pieces_make_the_same_ids_as_the_whole(published):
    """The prefix is tokenised without the words, once: nothing may merge across the seam."""
    chat, words = published.chat, "reach the red block"
    whole = f"{chat.before}<IMG_CONTEXT>{chat.after}{words}{chat.closing}"
    ids = published.tokenizer.encode(whole, add_special_tokens=False).ids
    assert published.layout.prompt(1, 1, published.image_token, published.ids(words)) == ids


def test_no_layout_takes_no_place(words):
    assert words.layout == PromptLayout()
    assert words.encode("reach the red block") == words.ids("reach the red block")


def make_any() -> PublishedVocabulary:
    tokenizer = make_tokenizer()
    return PublishedVocabulary(tokenizer.backend_tokenizer, [], read_chat(tokenizer))


ANY = make_any()
