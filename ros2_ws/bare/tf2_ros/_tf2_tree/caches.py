"""What one frame has been told about its parent: a history for moving frames, one entry for fixed ones.

Stamps are integer nanoseconds; 0 asks for the newest. The lists are kept in ascending order and trimmed from the
front through a start index, since deleting one element at a time from a long list would move all the others.
"""

from __future__ import annotations

from bisect import bisect_right

from _tf2_tree.rigid import Pose, interpolate

_COMPACT_AFTER = 512


def seconds(nanoseconds: int) -> str:
    """Return a stamp in s the way tf2 prints it in its messages."""
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{whole + rest * 1e-9:.6f}"


class TimeCache:
    """The poses of a moving frame in its parents over the last ``cache_time`` ns."""

    is_static = False

    def __init__(self, cache_time: int) -> None:
        self.cache_time = cache_time
        self.authority = ""
        self._stamps: list[int] = []
        self._entries: list[tuple[str, Pose]] = []
        self._start = 0

    def __len__(self) -> int:
        return len(self._stamps) - self._start

    def insert(self, stamp: int, parent: str, pose: Pose) -> bool:
        """Add an entry in order of stamps; tell False where it is older than the history reaches back."""
        stamps = self._stamps
        if len(stamps) > self._start:
            latest = stamps[-1]
            self._forget_before(latest - self.cache_time)
            if stamp <= latest:
                return self._insert_late(stamp, parent, pose)
        stamps.append(stamp)
        self._entries.append((parent, pose))
        return True

    def find(self, stamp: int) -> tuple[str, Pose] | None:
        """Return parent and pose at a stamp, interpolated, or None where that would need extrapolation."""
        stamps = self._stamps
        start = self._start
        if len(stamps) <= start:
            return None
        if stamp == 0 or stamp == stamps[-1]:
            return self._entries[-1]
        after = bisect_right(stamps, stamp, start)
        if after == start or after == len(stamps):
            return None
        if stamp == stamps[start]:
            return self._entries[start]  # of several at the oldest stamp tf2 takes the first that came
        before = after - 1
        older = self._entries[before]
        elapsed = stamp - stamps[before]
        if elapsed == 0:
            return older
        newer = self._entries[after]
        if older[0] != newer[0]:
            return older
        return older[0], interpolate(older[1], newer[1], elapsed / (stamps[after] - stamps[before]))

    def why_not(self, stamp: int) -> str:
        """Return the beginning of tf2's message on a stamp that ``find`` does not answer."""
        if len(self) < 2:
            return (
                f"Lookup would require extrapolation at time {seconds(stamp)}, "
                f"but only time {seconds(self.latest())} is in the buffer"
            )
        if stamp > self.latest():
            return (
                f"Lookup would require extrapolation into the future.  Requested time {seconds(stamp)} "
                f"but the latest data is at time {seconds(self.latest())}"
            )
        return (
            f"Lookup would require extrapolation into the past.  Requested time {seconds(stamp)} "
            f"but the earliest data is at time {seconds(self.oldest())}"
        )

    def latest(self) -> int:
        """Return the newest stamp, 0 while empty."""
        return self._stamps[-1] if len(self) else 0

    def oldest(self) -> int:
        """Return the oldest stamp, 0 while empty."""
        return self._stamps[self._start] if len(self) else 0

    def latest_parent(self) -> str | None:
        """Return the newest parent, None while empty."""
        return self._entries[-1][0] if len(self) else None

    def clear(self) -> None:
        """Forget everything."""
        self._stamps.clear()
        self._entries.clear()
        self._start = 0

    def _insert_late(self, stamp: int, parent: str, pose: Pose) -> bool:
        stamps = self._stamps
        if stamp < stamps[-1] - self.cache_time:
            return False
        entry = (parent, pose)
        place = bisect_right(stamps, stamp, self._start)
        same = place - 1
        while same >= self._start and stamps[same] == stamp:
            if self._entries[same] == entry:
                return True
            same -= 1
        stamps.insert(place, stamp)
        self._entries.insert(place, entry)
        return True

    def _forget_before(self, horizon: int) -> None:
        stamps = self._stamps
        start = self._start
        while stamps[start] < horizon:
            start += 1
        if start > _COMPACT_AFTER:
            del stamps[:start]
            del self._entries[:start]
            start = 0
        self._start = start


class StaticCache:
    """The pose of a fixed frame in its parent; it holds at every stamp."""

    is_static = True

    def __init__(self, parent: str, pose: Pose) -> None:
        self.authority = ""
        self._entry = (parent, pose)

    def __len__(self) -> int:
        return 1

    def insert(self, stamp: int, parent: str, pose: Pose) -> bool:
        """Replace the entry; the stamp has no meaning here."""
        self._entry = (parent, pose)
        return True

    def find(self, stamp: int) -> tuple[str, Pose]:
        """Return parent and pose."""
        return self._entry

    def why_not(self, stamp: int) -> str:
        """Never needed: every stamp is answered."""
        raise AssertionError("a static transform answers every stamp")

    def latest(self) -> int:
        """Return 0: no stamp limits a common time."""
        return 0

    def oldest(self) -> int:
        """Return 0."""
        return 0

    def latest_parent(self) -> str:
        """Return the parent."""
        return self._entry[0]

    def clear(self) -> None:
        """Keep the entry: it holds at every time, also after a jump."""
