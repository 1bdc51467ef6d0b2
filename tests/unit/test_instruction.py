import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_a_stop_heard_late_by_the_other_node_does_not_undo_what_was_said_after_it():
    # A loaded machine: the policy hears "stop" only after the arm has heard the words that followed it.
    arm = InstructionLatch()
    arm.offer("stop", 1.0)
    arm.offer("reach the red block", 1.2)
    assert arm.relay("stop", 1.3, 1.3) is Change.NONE
    assert arm.relay("stop", 1.3, 1.4) is Change.NONE
    assert arm.active
    assert arm.relay("stop", 1.9, 1.9) is Change.STOP  # another one, which did not reach the arm


def test_words_taken_from_the_other_node_are_in_force_when_they_are_heard_after_a_late_stop():
    policy = InstructionLatch()
    assert policy.relay("reach the red block", 1.2, 1.2) is Change.NEW
    assert policy.offer("stop", 1.3) is Change.STOP
    assert policy.offer("reach the red block", 1.31) is Change.NEW
    assert policy.active
    policy.offer("stop", 2.0)
    assert policy.offer("reach the red block", 2.1) is Change.NONE  # a repeat undoes nothing


def test_a_stop_asked_for_otherwise_is_not_undone_by_words_on_their_way():
    arm = InstructionLatch()
    arm.relay("reach the red block", 1.2, 1.2)
    assert arm.ask_to_stop(1.3) is Change.STOP
    assert arm.offer("reach the red block", 1.31) is Change.NONE
    assert arm.stopped


def test_old_words_are_not_taken_by_a_node_that_begins():
    assert InstructionLatch().relay("reach the red block", 1.0, now=10.0) is Change.NONE
    assert InstructionLatch().relay("", 0.0, now=0.5) is Change.NONE


def test_a_stop_without_an_instruction_is_not_passed_on():
    latch = InstructionLatch()
    latch.offer("reach the red block", 1.0)
    latch.stop()
    assert latch.stopped
    assert latch.heard == "reach the red block"


TEXTS = st.sampled_from(["reach the red block", "Reach the  RED block!", "go left", "stop", " STOP. ", ""])
EVENTS = st.lists(st.one_of(TEXTS, st.sampled_from([None, "\0resume"])), max_size=30)


def put(latch, event, stamp):
    """None is a stop that nobody said, "\\0resume" is arm/resume, all else is said."""
    if event is None:
        latch.stop()
    elif event == "\0resume":
        latch.resume()
    else:
        return latch.offer(event, stamp)
    return None


@given(EVENTS)
def test_a_stop_stays_until_other_words_or_a_resume_whatever_is_repeated(events):
    latch = InstructionLatch()
    for step, event in enumerate(events):
        stopped, words = latch.stopped, latch.instruction
        change = put(latch, event, 1.0 + step)
        said = event is not None and event != "\0resume"
        other = said and not is_stop(event) and normalise(event) != words
        if stopped and not latch.stopped:
            assert other or event == "\0resume"
        if said and is_stop(event):
            assert latch.stopped
            assert change is (Change.NONE if stopped else Change.STOP)
        if other:
            assert (change, latch.instruction, latch.stopped) == (Change.NEW, normalise(event), False)
        if said and not is_stop(event) and not other:
            assert (change, latch.instruction, latch.stopped) == (Change.NONE, words, stopped)
        assert latch.active == (bool(latch.instruction) and not latch.stopped)
        assert not said or (latch.heard, latch.heard_stamp) == (event, 1.0 + step)


@given(st.lists(st.tuples(TEXTS, st.sampled_from(["arm", "policy", "both"])), min_size=1, max_size=20))
def test_two_latches_that_tell_each_other_agree_and_a_stop_that_one_heard_last_stops_both(said):
    """A publisher that leaves at once reaches one node or both; what one heard the other takes from it, once."""
    arm, policy = InstructionLatch(), InstructionLatch()
    now = 10.0
    for text, reached in said:
        now += 1.0
        if reached in ("arm", "both"):
            arm.offer(text, now)
        if reached in ("policy", "both"):
            policy.offer(text, now + 0.003)
        for _ in range(3):
            policy.relay(arm.heard, arm.heard_stamp, now + 0.1)
            arm.relay(policy.heard, policy.heard_stamp, now + 0.1)
        assert (arm.instruction, arm.stopped) == (policy.instruction, policy.stopped)
        if is_stop(text):
            assert arm.stopped
            assert policy.stopped
