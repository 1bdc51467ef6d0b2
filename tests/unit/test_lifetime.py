"""A node ends on the first signal and when it is orphaned, and on nothing else."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from vipa_policy.nodes.lifetime import Lifetime


@pytest.fixture
def parents() -> list[int]:
    return [7]


@pytest.fixture
def lifetime(parents: list[int]) -> Iterator[Lifetime]:
    life = Lifetime(parent=lambda: parents[-1])
    yield life
    life.restore()


def test_lasts_while_nothing_happens(lifetime: Lifetime) -> None:
    assert not lifetime.ended
    assert lifetime.reason == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_it_and_the_second_is_harmless(lifetime: Lifetime, number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    assert lifetime.ended
    assert number.name in lifetime.reason
    os.kill(os.getpid(), signal.SIGINT)
    assert number.name in lifetime.reason


def test_an_orphan_ends(lifetime: Lifetime, parents: list[int]) -> None:
    parents.append(1)
    assert lifetime.ended
    assert "gone" in lifetime.reason


def test_ends_from_within_with_the_first_reason(lifetime: Lifetime) -> None:
    lifetime.end("done")
    lifetime.end("later")
    assert lifetime.reason == "done"


def test_a_real_orphan_notices() -> None:
    """A launcher that dies at once leaves a child, which reports why it ended over an inherited pipe."""
    child = textwrap.dedent("""
        import select, sys
        from vipa_policy.nodes.lifetime import Lifetime
        life = Lifetime()
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(500):
            if life.ended:
                break
            select.select([], [], [], 0.02)
        print(life.reason, flush=True)
    """)
    launcher = textwrap.dedent("""
        import subprocess, sys
        process = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=0, stdout=subprocess.PIPE, text=True)
        print(process.stdout.readline(), end="", flush=True)
        import os
        os._exit(0)
    """)
    # The grandchild's second line goes to a pipe whose reader, the launcher, has gone; so it writes to stderr's pipe.
    child = child.replace("print(life.reason, flush=True)", "print(life.reason, file=sys.stderr, flush=True)")
    process = subprocess.Popen(
        [sys.executable, "-c", launcher, child],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stderr is not None
    assert process.stdout.readline().strip() == "ready"
    process.wait(timeout=30)
    process.stdin.write("go\n")
    process.stdin.flush()
    assert "gone" in process.stderr.readline()
    process.stdin.close()
    process.stdout.close()
    process.stderr.close()
