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
    assert latch.offer("reach the red block", 1.0) is Change.NEW
    assert latch.offer("Reach the red block", 1.0) is Change.NONE
    assert latch.active


def test_a_repeated_instruction_does_not_undo_a_stop():
    latch = InstructionLatch()
    latch.offer("reach the red block", 1.0)
    assert latch.offer("stop", 1.0) is Change.STOP
    assert latch.offer("reach the red block", 1.0) is Change.NONE
    assert latch.offer("", 1.0) is Change.NONE
    assert latch.stopped
    assert not latch.active


def test_other_words_clear_a_stop():
    latch = InstructionLatch()
    latch.offer("reach the red block", 1.0)
    latch.offer("stop", 1.0)
    assert latch.offer("reach the blue block", 1.0) is Change.NEW
    assert latch.active
    assert latch.instruction == "reach the blue block"


def test_resume_brings_the_words_back():
    latch = InstructionLatch()
    latch.offer("reach the red block", 1.0)
    latch.offer("stop", 1.0)
    latch.resume()
    assert latch.active
    assert latch.instruction == "reach the red block"


def test_resume_without_words_stays_inactive():
    latch = InstructionLatch()
    latch.offer("stop", 1.0)
    latch.resume()
    assert not latch.active


def test_what_only_the_other_node_heard_is_taken_from_it():
    latch = InstructionLatch()
    assert latch.relay("reach the red block", 1.0, now=1.05) is Change.NEW
    assert latch.instruction == "reach the red block"
    assert latch.relay("reach the red block", 1.0, now=1.1) is Change.NONE
    assert latch.relay("stop", 1.2, now=1.25) is Change.STOP
    assert latch.stopped
    assert (latch.heard, latch.heard_stamp) == ("stop", 1.2)


def test_what_was_heard_here_later_stands():
    latch = InstructionLatch()
    latch.offer("reach the red block", 1.0)
    latch.offer("reach the blue block", 2.0)
    assert latch.relay("reach the red block", 1.01, now=2.01) is Change.NONE
    assert latch.relay("stop", 1.5, now=2.01) is Change.NONE
    assert latch.instruction == "reach the blue block"
    assert latch.active


def test_two_latches_that_tell_each_other_come_to_rest():
    """Both heard the same words, a little apart: telling each other changes nothing, for ever."""
    arm, policy = InstructionLatch(), InstructionLatch()
    arm.offer("reach the red block", 1.0)
    policy.offer("reach the red block", 1.003)
    for step in range(5):
        assert policy.relay(arm.heard, arm.heard_stamp, now=1.01 + step) is Change.NONE
        assert arm.relay(policy.heard, policy.heard_stamp, now=1.01 + step) is Change.NONE


def test_old_words_are_not_taken_by_a_node_that_begins():
    assert InstructionLatch().relay("reach the red block", 1.0, now=10.0) is Change.NONE
    assert InstructionLatch().relay("", 0.0, now=0.5) is Change.NONE


def test_a_stop_without_an_instruction_is_not_passed_on():
    latch = InstructionLatch()
    latch.offer("reach the red block", 1.0)
    latch.stop()
    assert latch.stopped
    assert latch.heard == "reach the red block"
