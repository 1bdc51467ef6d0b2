"""Starting and ending episodes without ROS: every refusal is told, and nothing recorded is lost by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.recorded_messages import describe, text_message

from vipa_policy.episode import EpisodeInfo, EpisodeReader, Outcome
from vipa_policy.episode.session import RecordingSession, SessionConfig
from vipa_policy.errors import DatasetError

STRING = "std_msgs/msg/String"


def session(directory: Path, **changes: object) -> RecordingSession:
    values = {
        "directory": directory, "cameras": {}, "topics": {}, "base_frame": "base", "tip_frame": "tip",
        "required": ["/a"], "minimum_free": 0,
    }  # fmt: skip
    return RecordingSession(SessionConfig(**(values | changes)))  # type: ignore[arg-type]


def take(recording: RecordingSession, topic: str, stamp: int) -> None:
    recording.take(topic, lambda: describe(topic, STRING), stamp, text_message("x"))


def test_an_episode_from_start_to_end(tmp_path: Path) -> None:
    recording = session(tmp_path)
    take(recording, "/a", 1)
    path = recording.start("Reach the red block.", "someone", 5)
    take(recording, "/a", 6)
    recording.note(seed=3)
    ending = recording.end("success", "good", 9)
    assert ending.usable
    assert ending.path == path
    assert not recording.recording
    with EpisodeReader(path) as reader:
        assert [message.stamp_ns for message in reader.messages()] == [6]
        info = reader.info
    assert (info.instruction, info.demonstrator, info.seed) == ("reach the red block", "someone", 3)
    assert (info.started_ns, info.ended_ns, info.note) == (5, 9, "good")


def test_refusals_leave_the_episode_running(tmp_path: Path) -> None:
    recording = session(tmp_path)
    with pytest.raises(DatasetError, match="no episode is being recorded"):
        recording.end("success", "", 1)
    assert recording.interrupt("nothing to interrupt", 1) is None
    with pytest.raises(DatasetError, match="words of the task"):
        recording.start("stop", "", 1)
    with pytest.raises(DatasetError, match="use_sim_time"):
        recording.start("reach the red block", "", 0)
    path = recording.start("reach the red block", "", 1)
    take(recording, "/a", 2)
    with pytest.raises(DatasetError, match=f"already recording {path}"):
        recording.start("reach the blue block", "", 3)
    for outcome in ("", "great", "interrupted", "recording"):
        with pytest.raises(DatasetError, match="still recording"):
            recording.end(outcome, "", 4)
    take(recording, "/a", 5)
    recording.end("failure", "", 6)
    with EpisodeReader(path) as reader:
        assert [message.stamp_ns for message in reader.messages()] == [2, 5]
        assert reader.info.outcome is Outcome.FAILURE


def test_a_required_topic_that_was_silent_is_named(tmp_path: Path) -> None:
    recording = session(tmp_path, required=["/a", "/b"])
    recording.start("reach the red block", "", 1)
    take(recording, "/a", 2)
    ending = recording.end("success", "", 3)
    assert not ending.usable
    assert "nothing arrived on /b" in ending.message
    assert ending.path.is_dir()


def test_interruption_keeps_the_reason(tmp_path: Path) -> None:
    recording = session(tmp_path)
    path = recording.start("reach the red block", "", 1)
    take(recording, "/a", 2)
    ending = recording.interrupt("the power button", 3)
    assert ending is not None
    info = EpisodeInfo.load(path)
    assert (info.outcome, info.reason) == (Outcome.INTERRUPTED, "the power button")


def test_a_disk_without_room_is_refused_before_it_begins(tmp_path: Path) -> None:
    recording = session(tmp_path / "not" / "there", minimum_free=10**18)
    with pytest.raises(DatasetError, match=r"MB left, expected at least 1000000000000 MB"):
        recording.start("reach the red block", "", 1)
    assert not (tmp_path / "not").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    recording = session(tmp_path / "file" / "episodes")
    with pytest.raises(DatasetError, match="cannot record at"):
        recording.start("reach the red block", "", 1)
    assert not recording.recording


def test_losing_messages_ends_the_episode(tmp_path: Path) -> None:
    recording = session(tmp_path)
    recording.start("reach the red block", "", 1)
    take(recording, "/a", 2)
    assert recording.must_end() == ""
    assert recording.writer is not None
    recording.writer._backlog_bytes = 0
    take(recording, "/a", 3)
    assert "1 messages could not be kept" in recording.must_end()
