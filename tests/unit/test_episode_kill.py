"""A recorder killed at any moment loses at most a second, and the file it leaves becomes whole again."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rosbags.highlevel import AnyReader
from support.recorded_messages import describe, text_message

from vipa_policy.episode import EpisodeInfo, EpisodeReader, EpisodeWriter, Outcome
from vipa_policy.episode.recover import main, recover
from vipa_policy.errors import DatasetError

STRING = "std_msgs/msg/String"

# Writes 1 kB messages without end, each with the monotonic time it was written at as its stamp, and says on stdout
# which one it wrote last: what the parent has read there was written before the kill.
CHILD = """
import sys, time
from pathlib import Path
from vipa_policy.episode import EpisodeInfo, EpisodeWriter
sys.path.insert(0, sys.argv[2])
from support.recorded_messages import describe, text_message
writer = EpisodeWriter(Path(sys.argv[1]), EpisodeInfo(name="one", instruction="reach the red block"))
writer.add_topic(describe("/a", "std_msgs/msg/String"))
data = text_message("x" * 1000)
while True:
    stamp = time.monotonic_ns()
    writer.write("/a", stamp, data)
    sys.stdout.write(f"{stamp}\\n")
    sys.stdout.flush()
    time.sleep(0.001)
"""


@pytest.mark.parametrize("messages_before_kill", [1, 400, 1600])
def test_sigkill_loses_at_most_a_second(tmp_path: Path, messages_before_kill: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), str(Path(__file__).parents[1])], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    written = [int(child.stdout.readline()) for _ in range(messages_before_kill)]
    child.send_signal(signal.SIGKILL)
    written += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    child.wait()
    assert child.returncode == -signal.SIGKILL

    assert EpisodeInfo.load(tmp_path / "one").outcome is Outcome.RECORDING
    with EpisodeReader(tmp_path / "one") as reader:
        assert reader.complete
        assert reader.info.outcome is Outcome.INTERRUPTED
        assert reader.info.recovered
        stamps = [message.stamp_ns for message in reader.messages()]
    known = [stamp for stamp in stamps if stamp <= written[-1]]
    assert known == written[: len(known)], "messages are missing from the middle"
    first_lost = written[len(known)] if len(known) < len(written) else written[-1]
    assert written[-1] - first_lost <= 1_000_000_000
    with AnyReader([tmp_path / "one"]) as bag:
        assert sum(1 for _ in bag.messages()) == len(stamps)


def finished_episode(directory: Path) -> tuple[Path, list[int]]:
    writer = EpisodeWriter(directory, EpisodeInfo(name="one", instruction="x"), flush_period=60.0)
    stamps = list(range(90))
    writer.add_topic(describe("/a", STRING))
    for stamp in stamps:
        if stamp == 45:
            writer.add_topic(describe("/b", "geometry_msgs/msg/PoseStamped"))
        writer.write("/a", stamp, text_message(f"message {stamp}"))
        if stamp % 30 == 29:
            writer.flush()
    return writer.close(Outcome.SUCCESS), stamps


def test_a_file_cut_anywhere_recovers_every_whole_message(tmp_path: Path) -> None:
    path, stamps = finished_episode(tmp_path)
    file = path / "one_0.mcap"
    whole = file.read_bytes()
    places = {data: whole.find(data) + len(data) for data in (text_message(f"message {stamp}") for stamp in stamps)}
    ends = sorted(places.values())
    description = (path / "episode.json").read_text()
    chosen = random.Random(0).sample(range(len(whole)), 25)
    for cut in [0, 1, 8, len(whole) - 1, *ends[28:32], *chosen]:
        file.write_bytes(whole[:cut])
        (path / "episode.json").write_text(description.replace('"success"', '"recording"'))
        with EpisodeReader(path) as reader:
            found = [message.stamp_ns for message in reader.messages()]
        assert found == stamps[: sum(end <= cut for end in ends)], f"cut at byte {cut}"
        with AnyReader([path]) as bag:
            assert [stamp for _, stamp, _ in bag.messages()] == found
        assert not recover(path).changed, "a recovered episode is whole"


def test_zeros_of_a_power_loss_are_cut_off(tmp_path: Path) -> None:
    path, stamps = finished_episode(tmp_path)
    file = path / "one_0.mcap"
    whole = file.read_bytes()
    last = whole.rfind(text_message("message 59"))
    file.write_bytes(whole[: last + 700] + bytes(4096))
    with EpisodeReader(path) as reader:
        assert [message.stamp_ns for message in reader.messages()][:60] == stamps[:60]


def test_damage_before_good_data_is_refused_and_left(tmp_path: Path) -> None:
    path, _ = finished_episode(tmp_path)
    file = path / "one_0.mcap"
    data = bytearray(file.read_bytes())
    data[data.find(b"message 3\0")] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(DatasetError, match="damaged at byte"):
        recover(path)
    assert file.read_bytes() == data


def test_an_episode_being_recorded_is_not_recovered(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, EpisodeInfo(name="one", instruction="x"), flush_period=60.0)
    writer.add_topic(describe("/a", STRING))
    writer.write("/a", 1, text_message("x"))
    writer.flush()
    with pytest.raises(DatasetError, match="being recorded just now"):
        recover(tmp_path / "one")
    with EpisodeReader(tmp_path / "one") as reader:
        assert not reader.complete
        assert [message.stamp_ns for message in reader.messages()] == [1]
    writer.write("/a", 2, text_message("y"))
    with EpisodeReader(writer.close(Outcome.SUCCESS)) as reader:
        assert [message.stamp_ns for message in reader.messages()] == [1, 2]


def test_an_episode_that_cannot_be_written_is_read_as_it_is(tmp_path: Path) -> None:
    path, stamps = finished_episode(tmp_path)
    file = path / "one_0.mcap"
    file.write_bytes(file.read_bytes()[:-20])
    cut = file.read_bytes()
    # Another holder of the lock stands for a folder that cannot be written, which root always can.
    with file.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with EpisodeReader(path) as reader:
            assert [message.stamp_ns for message in reader.messages()] == stamps
    assert file.read_bytes() == cut


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = finished_episode(tmp_path)
    os.truncate(path / "one_0.mcap", (path / "one_0.mcap").stat().st_size - 5)
    assert main([str(path)]) == 0
    assert "90 messages, completed" in capsys.readouterr().out
    assert main([str(path), str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "whole, left alone" in captured.out
    assert "is not an episode" in captured.err
