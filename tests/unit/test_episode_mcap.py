"""An episode is a rosbag2 folder: other readers agree with ours, and bad places or full disks lose nothing."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader
from rosbags.interfaces import ConnectionExtRosbag2
from rosbags.rosbag2 import Reader
from support.recorded_messages import describe, text_message

from vipa_policy.episode import EpisodeInfo, EpisodeReader, EpisodeWriter, Outcome
from vipa_policy.errors import DatasetError

STRING = "std_msgs/msg/String"


def write_episode(directory: Path, name: str, messages: list[tuple[str, int, bytes]], **options: int) -> Path:
    writer = EpisodeWriter(directory, EpisodeInfo(name=name, instruction="reach the red block"), **options)
    for topic, stamp, data in messages:
        if not writer.has_topic(topic):
            writer.add_topic(describe(topic, STRING))
        assert writer.write(topic, stamp, data)
    return writer.close(Outcome.SUCCESS, note="fine")


def read(path: Path) -> list[tuple[str, int, bytes]]:
    with EpisodeReader(path) as reader:
        return [(message.topic.name, message.stamp_ns, bytes(message.data)) for message in reader.messages()]


def example(count: int) -> list[tuple[str, int, bytes]]:
    return [(f"/topic{index % 3}", 10**9 + index * 10**6, text_message(f"text {index}")) for index in range(count)]


def test_rosbag2_readers_agree(tmp_path: Path) -> None:
    messages = example(500)
    path = write_episode(tmp_path, "one", messages, chunk_bytes=2000)
    assert read(path) == messages
    with Reader(path) as reader:
        assert reader.message_count == len(messages)
        assert reader.start_time == messages[0][1]
        assert {(connection.topic, connection.msgtype) for connection in reader.connections} == {
            (f"/topic{index}", STRING) for index in range(3)
        }
        assert all(connection.digest.startswith("RIHS01_") for connection in reader.connections)
        for connection in reader.connections:
            assert isinstance(connection.ext, ConnectionExtRosbag2)
            assert connection.ext.offered_qos_profiles[0].depth == 10
        assert [(c.topic, stamp, data) for c, stamp, data in reader.messages()] == messages
    with AnyReader([path]) as reader:
        texts = [vars(reader.deserialize(data, c.msgtype))["data"] for c, _, data in reader.messages()]
    assert texts == [f"text {index}" for index in range(500)]


def test_mcap_referee_finds_checksums_index_and_summary_right(tmp_path: Path) -> None:
    messages = example(300)
    path = write_episode(tmp_path, "one", messages, chunk_bytes=1500)
    data = (path / "one_0.mcap").read_bytes()
    reader = make_reader(io.BytesIO(data), validate_crcs=True)
    summary = reader.get_summary()
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count == 300
    assert summary.statistics.chunk_count == len(summary.chunk_indexes) >= 1
    assert [(c.topic, m.log_time, m.data) for _, c, m in reader.iter_messages()] == messages
    # Through the message index, one topic and a span of time only.
    some = list(reader.iter_messages(topics=["/topic1"], starting_at=messages[100][1], ending_before=messages[200][1]))
    assert [m.data for _, _, m in some] == [data for topic, _, data in messages[100:200] if topic == "/topic1"]
    assert sum(1 for _ in StreamReader(io.BytesIO(data), validate_crcs=True).records) > 300
    metadata = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    embedded = next(record for record in reader.iter_metadata() if record.name == "rosbag2")
    assert yaml.safe_load(embedded.metadata["serialized_metadata"])["message_count"] == metadata["message_count"]


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.sampled_from(["/a", "/b"]), st.integers(0, 2**62), st.binary(max_size=300)), max_size=40),
    st.integers(1, 2000),
)
def test_any_bytes_come_back_in_order(tmp_path_factory: pytest.TempPathFactory, messages: list, chunk: int) -> None:
    path = write_episode(tmp_path_factory.mktemp("any"), "one", messages, chunk_bytes=chunk)
    assert read(path) == messages


def test_empty_episode_opens(tmp_path: Path) -> None:
    path = write_episode(tmp_path, "one", [])
    assert read(path) == []
    with Reader(path) as reader:
        assert reader.message_count == 0


def test_description_round_trip(tmp_path: Path) -> None:
    path = write_episode(tmp_path, "one", example(4))
    info = EpisodeInfo.load(path)
    assert EpisodeInfo.from_json(info.to_json()) == info
    assert info.outcome is Outcome.SUCCESS
    assert info.note == "fine"
    assert info.counts == {"/topic0": 2, "/topic1": 1, "/topic2": 1}
    assert info.ended_ns == 10**9 + 3 * 10**6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not JSON"),
        ("[]", "holds a list"),
        ('{"version": 99}', "version 99"),
        ('{"version": 1}', "not an episode's description"),
        ('{"version": 1, "name": "a", "instruction": "b", "colour": 1}', "colour"),
        ('{"version": 1, "name": "a", "instruction": "b", "outcome": "great"}', "great"),
    ],
)
def test_bad_descriptions_are_refused(text: str, expected: str) -> None:
    with pytest.raises(DatasetError, match=expected):
        EpisodeInfo.from_json(text)


def test_discarded_episode_is_moved_not_deleted(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, EpisodeInfo(name="one", instruction="reach the red block"))
    writer.add_topic(describe("/a", STRING))
    writer.write("/a", 5, text_message("x"))
    path = writer.close(Outcome.DISCARD)
    assert path == tmp_path / "discarded" / "one"
    assert [item[1] for item in read(path)] == [5]
    assert not (tmp_path / "one").exists()


def test_bad_places_are_refused(tmp_path: Path) -> None:
    info = EpisodeInfo(name="one", instruction="reach the red block")
    write_episode(tmp_path, "one", [])
    with pytest.raises(DatasetError, match="never overwritten"):
        EpisodeWriter(tmp_path, info)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="Give a folder that can be written"):
        EpisodeWriter(tmp_path / "file", info)
    with pytest.raises(DatasetError, match="is not an episode"):
        EpisodeReader(tmp_path)


class FullDisk:
    """Stands for the file of a disk that has room for so many bytes more."""

    def __init__(self, stream: io.FileIO, room: int) -> None:
        self._stream = stream
        self.room = room

    def write(self, data: bytes) -> int:
        taken = min(len(data), self.room)
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= taken
        return self._stream.write(data[:taken])

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def start_on_full_disk(directory: Path, room: int, **options: int) -> tuple[EpisodeWriter, FullDisk]:
    # The period is long so that only the calls of the test flush.
    info = EpisodeInfo(name="one", instruction="reach the red block")
    writer = EpisodeWriter(directory, info, flush_period=60.0, **options)
    writer.add_topic(describe("/a", STRING))
    disk = FullDisk(writer._file, room)
    writer._file = disk  # type: ignore[assignment]
    return writer, disk


def test_full_disk_that_gets_room_again_loses_nothing(tmp_path: Path) -> None:
    writer, disk = start_on_full_disk(tmp_path, 100)
    for index in range(50):
        assert writer.write("/a", index, text_message(str(index)))
    writer.flush()
    assert "No space left" in writer.failure
    disk.room = 10**9
    writer.flush()
    assert not writer.failure
    path = writer.close(Outcome.SUCCESS)
    assert [stamp for _, stamp, _ in read(path)] == list(range(50))


def test_full_disk_until_the_end_keeps_what_was_written(tmp_path: Path) -> None:
    writer, disk = start_on_full_disk(tmp_path, 10**6)
    for index in range(50):
        writer.write("/a", index, text_message(str(index)))
    writer.flush()
    disk.room = 10
    writer.write("/a", 50, text_message("too much"))
    with pytest.raises(DatasetError, match=r"last 1 messages.*recover"):
        writer.close(Outcome.SUCCESS)
    assert [stamp for _, stamp, _ in read(tmp_path / "one")] == list(range(50))


def test_full_backlog_counts_what_it_drops(tmp_path: Path) -> None:
    writer, disk = start_on_full_disk(tmp_path, 0, backlog_bytes=1000)
    data = text_message("x" * 90)
    kept = [writer.write("/a", index, data) for index in range(20)]
    assert kept == [True] * (1000 // len(data)) + [False] * (20 - 1000 // len(data))
    assert writer.lost == {"/a": kept.count(False)}
    disk.room = 10**9
    writer.flush()
    assert writer.write("/a", 99, data), "room in memory comes back when the disk takes the backlog"
    path = writer.close(Outcome.INTERRUPTED, reason="the disk was full")
    assert EpisodeInfo.load(path).lost == {"/a": kept.count(False)}
    assert len(read(path)) == kept.count(True) + 1
