"""The tree of frames: insertion with tf2's rejections, lookup through a chain at a stamp."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, isnan, sqrt
from typing import TypeAlias

from _tf2_tree.caches import StaticCache, TimeCache, seconds
from _tf2_tree.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from _tf2_tree.rigid import IDENTITY, Pose, compose, invert, normalised

Cache: TypeAlias = TimeCache | StaticCache

MAXIMUM_DEPTH = 1000
_UNIT_TOLERANCE = 1e-9


class FrameTree:
    """Frames by name, each with the history of its pose in its parent. Not locked: its owner sees to that.

    Args:
        cache_time: ns of history to keep of every moving frame.
        complain: takes one line about each rejected transform.
    """

    def __init__(self, cache_time: int, complain: Callable[[str], None]) -> None:
        self._cache_time = cache_time
        self._complain = complain
        self._caches: dict[str, Cache | None] = {}  # None for a frame known only as a parent

    def insert(self, parent: str, child: str, stamp: int, pose: Pose, authority: str, is_static: bool) -> bool:
        """Add the pose of ``child`` in ``parent`` at a stamp in ns.

        Returns False, after one complaint for each reason, where a frame name is empty, both are equal, a value is not
        a number or the quaternion has no length, or the stamp is older than the history reaches back.
        """
        if parent[:1] == "/":
            parent = parent[1:]
        if child[:1] == "/":
            child = child[1:]
        qx, qy, qz, qw = pose[3:]
        norm = qx * qx + qy * qy + qz * qz + qw * qw
        # One comparison sees NaN, too: it fails every one of them.
        if not (abs(norm - 1.0) < _UNIT_TOLERANCE and parent and child and parent != child and isfinite(sum(pose[:3]))):
            accepted = self._checked(parent, child, pose, norm, authority)
            if accepted is None:
                return False
            pose = accepted
        caches = self._caches
        cache = caches.get(child)
        if cache is None or cache.is_static != is_static:
            cache = StaticCache(parent, pose) if is_static else TimeCache(self._cache_time)
            caches[child] = cache
        if parent not in caches:
            caches[parent] = None
        if not cache.insert(stamp, parent, pose):
            self._complain(
                f"TF_OLD_DATA ignoring data from the past for frame {child} at time {seconds(stamp)} according to "
                f"authority {authority}: it is older than the {seconds(self._cache_time)} s that are kept"
            )
            return False
        cache.authority = authority
        return True

    def lookup(self, target: str, source: str, stamp: int) -> tuple[int, Pose]:
        """Return stamp in ns and pose of ``source`` in ``target``: it takes points in source to target.

        Stamp 0 takes the newest at which the whole chain is known. Raises LookupException on an unknown frame,
        ConnectivityException where no chain exists, ExtrapolationException where the stamp is not covered,
        InvalidArgumentException on a frame name that cannot be one.
        """
        if target == source:
            return (self._latest(target) if stamp == 0 else stamp), IDENTITY
        self.validate("lookupTransform argument target_frame", target)
        self.validate("lookupTransform argument source_frame", source)
        if stamp == 0:
            stamp = self.latest_common_time(target, source)
        return stamp, self._walk(target, source, stamp)

    def why_not(self, target: str, source: str, stamp: int) -> str:
        """Return why a lookup would fail, "" where it would not."""
        if target == source:
            return ""
        for role, frame in (("target", target), ("source", source)):
            problem = self._frame_problem(frame) or ("" if frame in self._caches else "frame does not exist")
            if problem:
                return f'Invalid frame ID "{frame}" passed to canTransform argument {role}_frame - {problem}'
        try:
            self.lookup(target, source, stamp)
        except TransformException as error:
            return str(error)
        return ""

    def latest_common_time(self, target: str, source: str) -> int:
        """Return the newest stamp in ns at which the chain is known, 0 for a chain of fixed transforms only."""
        if target == source:
            return self._latest(source)
        source_chain = self._newest_chain(source, target)
        if source_chain[-1][0] == target:
            return min((time for _, time in source_chain if time), default=0)
        target_chain = self._newest_chain(target, source)
        if target_chain[-1][0] == source:
            return min((time for _, time in target_chain if time), default=0)
        source_names = {name for name, _ in source_chain}
        common = next((name for name, _ in target_chain if name in source_names), None)
        if common is None:
            raise self._unconnected(target, source)
        times = []
        for chain in (source_chain, target_chain):
            for name, time in chain:
                if time:
                    times.append(time)
                if name == common:
                    break
        return min(times, default=0)

    def exists(self, frame: str) -> bool:
        """Tell whether a frame has ever been named as parent or child."""
        return frame in self._caches

    def clear(self) -> None:
        """Forget the histories of moving frames; frames themselves and fixed transforms stay."""
        for cache in self._caches.values():
            if cache is not None:
                cache.clear()

    def as_string(self) -> str:
        """Return a line on each frame and its newest parent."""
        lines = (
            f"Frame {name} exists with parent {cache.latest_parent() or 'NO_PARENT'}.\n"
            for name, cache in self._caches.items()
            if cache is not None
        )
        return "".join(lines)

    def as_yaml(self) -> str:
        """Return a YAML document on each frame: parent, broadcaster, rate, newest and oldest stamp, length."""
        if not self._caches:
            return "[]"
        parts = []
        for name, cache in self._caches.items():
            if cache is None or not len(cache):
                continue
            span = cache.latest() - cache.oldest()
            rate = len(cache) * 1e9 / max(span, 100_000)
            parts.append(
                f"{name}: \n  parent: '{cache.latest_parent()}'\n  broadcaster: '{cache.authority}'\n"
                f"  rate: {rate:.3f}\n  most_recent_transform: {seconds(cache.latest())}\n"
                f"  oldest_transform: {seconds(cache.oldest())}\n  buffer_length: {span * 1e-9:.3f}\n"
            )
        return "".join(parts)

    def _checked(self, parent: str, child: str, pose: Pose, norm: float, authority: str) -> Pose | None:
        """Return the pose with a unit quaternion, or None after complaining."""
        complaints = []
        if child == parent:
            complaints.append(
                f'TF_SELF_TRANSFORM: Ignoring transform from authority "{authority}" with frame_id and '
                f'child_frame_id "{child}" because they are the same'
            )
        if not child:
            complaints.append(
                f'TF_NO_CHILD_FRAME_ID: Ignoring transform from authority "{authority}" because child_frame_id not set'
            )
        if not parent:
            complaints.append(
                f'TF_NO_FRAME_ID: Ignoring transform with child_frame_id "{child}" from authority "{authority}" '
                "because frame_id not set"
            )
        values = " ".join(f"{value:f}" for value in pose)
        if any(isnan(value) for value in pose):
            complaints.append(
                f'TF_NAN_INPUT: Ignoring transform for child_frame_id "{child}" from authority "{authority}" because '
                f"of a nan value in the transform ({values})"
            )
        elif not isfinite(norm) or norm < 1e-300:
            complaints.append(
                f'TF_DENORMALIZED_QUATERNION: Ignoring transform for child_frame_id "{child}" from authority '
                f'"{authority}" because of an invalid quaternion in the transform ({values})'
            )
        for complaint in complaints:
            self._complain(complaint)
        if complaints:
            return None
        scale = 1.0 / sqrt(norm)
        return (*pose[:3], pose[3] * scale, pose[4] * scale, pose[5] * scale, pose[6] * scale)

    def _walk(self, target: str, source: str, stamp: int) -> Pose:
        caches = self._caches
        source_to_top = IDENTITY
        frame = source
        gap: Cache | None = None
        for _ in range(MAXIMUM_DEPTH):
            if frame == target:
                return normalised(source_to_top)
            cache = caches[frame]
            if cache is None:
                break
            found = cache.find(stamp)
            if found is None:
                gap = cache  # the way from the target may still meet this frame
                break
            frame = found[0]
            source_to_top = compose(found[1], source_to_top)
        else:
            raise self._loop()
        top = frame
        target_to_top = IDENTITY
        frame = target
        for _ in range(MAXIMUM_DEPTH):
            if frame == top:
                return normalised(compose(invert(target_to_top), source_to_top))
            cache = caches[frame]
            if cache is None:
                break
            found = cache.find(stamp)
            if found is None:
                raise self._extrapolation(cache, target, source, stamp)
            frame = found[0]
            target_to_top = compose(found[1], target_to_top)
        else:
            raise self._loop()
        if gap is not None:
            raise self._extrapolation(gap, target, source, stamp)
        raise self._unconnected(target, source)

    def _newest_chain(self, frame: str, stop: str) -> list[tuple[str, int]]:
        """Return (ancestor, newest stamp of the step to it) up to the root or to ``stop``, the frame itself first."""
        chain = [(frame, 0)]
        while frame != stop:
            cache = self._caches[frame]
            parent = None if cache is None else cache.latest_parent()
            if cache is None or parent is None:
                break
            if len(chain) > MAXIMUM_DEPTH:
                raise self._loop()
            chain.append((parent, cache.latest()))
            frame = parent
        return chain

    def _latest(self, frame: str) -> int:
        cache = self._caches.get(frame)
        return 0 if cache is None else cache.latest()

    def _frame_problem(self, frame: str) -> str:
        if not frame:
            return "in tf2 frame_ids cannot be empty"
        if frame[0] == "/":
            return "in tf2 frame_ids cannot start with a '/'"
        return ""

    def validate(self, argument: str, frame: str) -> None:
        """Raise InvalidArgumentException or LookupException on a name that is no known frame."""
        if frame in self._caches:
            return
        problem = self._frame_problem(frame)
        if problem:
            raise InvalidArgumentException(f'Invalid argument "{frame}" passed to {argument} - {problem}')
        raise LookupException(f'"{frame}" passed to {argument} does not exist. ')

    def _loop(self) -> LookupException:
        return LookupException(f"The tf tree is invalid because it contains a loop.\n{self.as_string()}\n")

    def _extrapolation(self, cache: Cache, target: str, source: str, stamp: int) -> ExtrapolationException:
        return ExtrapolationException(
            f"{cache.why_not(stamp)}, when looking up transform from frame [{source}] to frame [{target}]"
        )

    def _unconnected(self, target: str, source: str) -> ConnectivityException:
        return ConnectivityException(
            f"Could not find a connection between '{target}' and '{source}' because they are not part of the same "
            "tree.Tf has two or more unconnected trees."
        )
