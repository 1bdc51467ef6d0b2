import pytest

from vipa_policy.instruction import Change, InstructionLatch, is_stop, normalise


def test_words_are_normalised():
    assert normalise("  Reach the  RED block! ") == "reach the red block"


@pytest.mark.parametrize("text", ["", "   ", "stop", "STOP", " Stop. "])
def test_stop_words(text):
    assert is_stop(text)


def test_only_the_word_itself_stops():
    assert not is_stop("stop at the red block")


def test_repeats_change_nothing():
    latch = InstructionLatch()
    assert latch.offer("reach the red block") is Change.NEW
    assert latch.offer("Reach the red block") is Change.NONE
    assert latch.active


def test_a_repeated_instruction_does_not_undo_a_stop():
    latch = InstructionLatch()
    latch.offer("reach the red block")
    assert latch.offer("stop") is Change.STOP
    assert latch.offer("reach the red block") is Change.NONE
    assert latch.offer("") is Change.NONE
    assert latch.stopped
    assert not latch.active


def test_other_words_clear_a_stop():
    latch = InstructionLatch()
    latch.offer("reach the red block")
    latch.offer("stop")
    assert latch.offer("reach the blue block") is Change.NEW
    assert latch.active
    assert latch.instruction == "reach the blue block"


def test_resume_brings_the_words_back():
    latch = InstructionLatch()
    latch.offer("reach the red block")
    latch.offer("stop")
    latch.resume()
    assert latch.active
    assert latch.instruction == "reach the red block"


def test_resume_without_words_stays_inactive():
    latch = InstructionLatch()
    latch.offer("stop")
    latch.resume()
    assert not latch.active
