"""Training sets from recorded episodes: every usable image with what the arm did after it.

An episode counts as converted once all of it is in the set; one that a kill or Ctrl-C cut off is taken out again and
converted anew by the next run. Guarded by tests/unit/test_convert.py.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from vipa_policy.contract import ActionContract
from vipa_policy.episode import Outcome
from vipa_policy.episode.info import FILE_NAME
from vipa_policy.episode.writer import DISCARDED
from vipa_policy.errors import DatasetError, ObservationError, VipaError
from vipa_training.dataset import DatasetWriter
from vipa_training.episodes import Demonstration, DemonstrationFrame, Trajectory, contract_for
from vipa_training.grounding import named_object
from vipa_training.labels import chunk_from_trajectory

# Where the set stood when its last episode was complete: what lies beyond is taken out before another is added.
_COMPLETE = "complete"


@dataclass
class ConversionReport:
    """What a conversion did.

    Attributes:
        episodes: names of the episodes that were added.
        already: episodes that were in the set before.
        refused: episode -> why it was not added.
        frames: images added.
        skipped: why images were left out -> how many.
        stopped: whether Ctrl-C ended it early.
    """

    episodes: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    frames: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    stopped: bool = False


def find_episodes(places: Iterable[Path]) -> list[Path]:
    """Return the episode folders that are, or lie anywhere below, the given ones, sorted; discarded ones are left out.

    Raises DatasetError where a place holds none.
    """
    found: list[Path] = []
    for place in places:
        below = [path.parent for path in sorted(place.rglob(FILE_NAME)) if DISCARDED not in path.parts]
        if not below:
            raise DatasetError(f"{place} holds no episode; expected folders with {FILE_NAME}, as the recorder makes")
        found += below
    return sorted(set(found))


def convert(
    folders: Sequence[Path],
    out: Path,
    contract: ActionContract,
    *,
    outcomes: Sequence[Outcome] = (Outcome.SUCCESS,),
    stopping: Callable[[], bool] = lambda: False,
    progress: bool = True,
) -> ConversionReport:
    """Add episodes to a training set, making it where there is none.

    Args:
        folders: of the episodes; those already in the set are left out.
        out: folder of the set.
        contract: of the set.
        outcomes: episodes with another outcome are refused.
        stopping: asked before every image; True ends the conversion, the episode begun is taken out again.
        progress: whether to show a progress bar.

    Raises ContractMismatch where the set exists for another contract. An episode that cannot be used is refused in the
    report, the others go on.
    """
    report = ConversionReport()
    with tqdm(total=len(folders), unit="episode", disable=not progress) as bar:
        for folder in folders:
            # Opened anew for each: an episode that fails half-way is taken out again before the next begins.
            forget_incomplete(out)
            with DatasetWriter(out, contract) as writer:
                try:
                    _convert_one(folder, writer, contract, outcomes, stopping, report)
                except _Stopped:
                    report.stopped = True
                    break
                except VipaError as error:
                    report.refused[folder.name] = str(error)
            bar.update()
            bar.set_postfix(frames=report.frames)
    forget_incomplete(out)
    return report


class _Stopped(Exception):
    """The conversion is to end."""


def _convert_one(
    folder: Path,
    writer: DatasetWriter,
    contract: ActionContract,
    outcomes: Sequence[Outcome],
    stopping: Callable[[], bool],
    report: ConversionReport,
) -> None:
    source = f"episode {folder.name}"
    if source in writer.meta["sources"]:
        report.already.append(folder.name)
        return
    _note_complete(writer)
    with Demonstration(folder, contract) as demonstration:
        if demonstration.info.outcome not in outcomes:
            raise DatasetError(
                f"its outcome is {demonstration.info.outcome.value!r}, wanted {[item.value for item in outcomes]}"
            )
        trajectory = demonstration.trajectory()
        added, left_out = 0, Counter[str]()
        for frame in demonstration.frames():
            if stopping():
                raise _Stopped
            reason = _add(writer, frame, trajectory, contract)
            if reason:
                left_out[reason] += 1
            else:
                added += 1
        left_out += demonstration.skipped
        if not added:
            raise DatasetError(f"none of its {demonstration.image_count} images can be used: {dict(left_out)}")
    report.skipped += left_out
    report.frames += added
    report.episodes.append(folder.name)
    writer.meta["sources"].append(source)
    _note_complete(writer)


def _note_complete(writer: DatasetWriter) -> None:
    writer.meta[_COMPLETE] = {
        "frames": writer.meta["frames"],
        "samples": writer.meta["samples"],
        "sources": len(writer.meta["sources"]),
    }
    writer.save()


def _add(writer: DatasetWriter, frame: DemonstrationFrame, trajectory: Trajectory, contract: ActionContract) -> str:
    """Add one frame with its label; returns why it cannot be used, "" where it can."""
    if not frame.instruction:
        return "no instruction in force"
    executed = trajectory.until(frame.instruction_end_ns)
    if not len(executed.stamps_ns) or executed.stamps_ns[-1] <= frame.stamp_ns:
        return "nothing was executed after it for the same instruction"
    poses, gripper, valid = chunk_from_trajectory(
        executed.stamps_ns,
        executed.base_from_tip,
        executed.gripper,
        frame.stamp_ns,
        frame.base_from_camera,
        contract,
    )
    points = {item.name: item.grasp_point for item in frame.objects}
    named = named_object(frame.instruction, points)
    try:
        index = writer.add_frame(frame.observation, frame.base_from_camera)
    except ObservationError as error:
        return f"the policy refuses it: {error}"
    writer.add_sample(index, frame.instruction, poses, gripper, valid, points[named] if named else None)
    return ""


def forget_incomplete(out: Path) -> None:
    """Take the frames of an unfinished episode out of a set, so that its next conversion does not add them twice."""
    path = out / "meta.json"
    if not path.exists():
        return
    meta = json.loads(path.read_text())
    complete = meta.get(_COMPLETE)
    # Without the mark, or with sources behind it, the set's last part was added by another tool.
    if complete is None or complete["sources"] != len(meta["sources"]):
        return
    if (complete["frames"], complete["samples"]) != (meta["frames"], meta["samples"]):
        meta.update(frames=complete["frames"], samples=complete["samples"])
        fresh = path.with_name("meta.json.writing")
        fresh.write_text(json.dumps(meta, indent=1))
        fresh.replace(path)


@contextmanager
def _until_signalled() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether SIGINT or SIGTERM has come."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when all is converted, 1 where an episode was refused, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        description="Make a training set from recorded episodes. Ctrl-C saves; the same command continues."
    )
    parser.add_argument("episodes", nargs="+", type=Path, metavar="EPISODE", help="episode folders, or folders of them")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training set; added to where it exists")
    parser.add_argument(
        "--contract", type=Path, help="JSON of the action contract; by default the recorded one, or else vipa-tiny's"
    )
    parser.add_argument(
        "--outcome",
        action="append",
        choices=[Outcome.SUCCESS.value, Outcome.FAILURE.value, Outcome.INTERRUPTED.value],
        help="take episodes with this outcome (may be repeated; default: success)",
    )
    options = parser.parse_args(arguments)
    outcomes = [Outcome(item) for item in options.outcome or [Outcome.SUCCESS.value]]
    try:
        folders = find_episodes(options.episodes)
        with _until_signalled() as stopping:
            report = convert(
                folders, options.out, contract_for(folders, options.contract), outcomes=outcomes, stopping=stopping
            )
    except VipaError as error:
        print(error, file=sys.stderr)
        return 1
    for name, reason in report.refused.items():
        print(f"{name}: {reason}", file=sys.stderr)
    for reason, count in report.skipped.most_common():
        print(f"{count} images left out: {reason}")
    print(
        f"{options.out}: {report.frames} images of {len(report.episodes)} episodes added, {len(report.already)} there "
        f"before, {len(report.refused)} refused"
    )
    return 130 if report.stopped else int(bool(report.refused))
