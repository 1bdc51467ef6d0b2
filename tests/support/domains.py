"""ROS_DOMAIN_IDs that no other test run on this machine uses at the same time."""

import os
import random
from typing import IO

from vipa_sim.domain_lock import lock_domain


def _candidates() -> list[int]:
    # 0 is everybody's default; from 50 on commands and rigs take theirs themselves (`free_domain`).
    first, _, last = os.environ.get("VIPA_TEST_DOMAINS", "1-49").partition("-")
    candidates = list(range(int(first), int(last or first) + 1))
    random.shuffle(candidates)
    return candidates


class DomainAllocator:
    """Hands out domain ids, each locked by a file until ``release``; VIPA_TEST_DOMAINS="10-19" narrows the choice."""

    def __init__(self) -> None:
        self._locks: dict[int, IO[str]] = {}

    def allocate(self) -> int:
        """Return a domain id that is this process's own until it is released."""
        for domain in _candidates():
            lock = lock_domain(domain)
            if lock is None:
                continue
            self._locks[domain] = lock
            return domain
        raise RuntimeError("every ROS domain id in VIPA_TEST_DOMAINS is taken by another test run: widen the range")

    def release(self, domain: int) -> None:
        """Give a domain id back."""
        self._locks.pop(domain).close()
