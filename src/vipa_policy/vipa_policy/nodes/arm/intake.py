"""How a chunk comes in: moved to the base frame with the transform at its image's stamp, checked, or refused.

Guarded by tests/graph/test_arm_node.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException

from vipa_msgs.msg import ActionChunk
from vipa_policy.control.chunk import BaseChunk, check_captured
from vipa_policy.control.executor import Executor
from vipa_policy.errors import ChunkError, VipaError
from vipa_policy.geometry import Array
from vipa_policy.instruction import InstructionLatch, normalise
from vipa_policy.nodes.arm.timing import Timing
from vipa_policy.nodes.conversions import chunk_from_message, matrix_from_transform, seconds_of

# s after new words in which chunks for other words are refused: the policy may hear them later than the arm.
WORDS_GRACE = 1.0
# s that taking a chunk may need before any was taken, and by how much longer than lately it may take.
TAKING, LONGER = 0.005, 1.2
# Chunks whose taking is remembered.
REMEMBERED = 20
# s between two words in the log on chunks that come while the arm takes none.
TOLD_AGAIN = 10.0


class ChunkIntake:
    """Keeps the newest chunk until its transform is there, and hands it to the executor.

    Args:
        node: for its log.
        buffer: of TF.
        base, tip: frames that chunks are moved to, and of the tip.
        patience: s, how long a chunk waits for its transform.
        latch: the words in force.
        hold: called with the reason where a refused chunk is one to hold for.
        blocked: says why no chunk is taken now, "" where one is.
        timing: is told of accepted chunks.
    """

    def __init__(
        self,
        node: Node,
        buffer: Buffer,
        base: str,
        tip: str,
        patience: float,
        latch: InstructionLatch,
        hold: Callable[[str], None],
        blocked: Callable[[], str],
        timing: Timing,
    ) -> None:
        self._node = node
        self._buffer, self._base, self._tip, self._patience = buffer, base, tip, patience
        self._latch = latch
        self._hold, self._blocked = hold, blocked
        self._timing = timing
        self._pending: tuple[ActionChunk, float] | None = None
        self._taken: deque[float] = deque([TAKING], maxlen=REMEMBERED)
        self.words_since = float("-inf")
        """s, when the words in force were heard."""
        self.refused = 0
        self.refusal = ""
        """Why the last refused chunk was."""

    @property
    def needed(self) -> float:
        """How long taking a chunk may need, in s, from how long it took lately."""
        return LONGER * max(self._taken)

    def offer(self, message: ActionChunk, now: float) -> None:
        """Take a chunk that arrived at ``now`` (s) in the place of one that still waits."""
        if reason := self._blocked():
            self._pending = None
            self.refused += 1
            self.refusal = f"no chunk is taken: {reason}"
            self._node.get_logger().warning(self.refusal, throttle_duration_sec=TOLD_AGAIN)
            return
        if message.header.stamp.sec < 0:
            # TF knows no time before 0.
            self._refuse(
                f"expected a stamp of 0 s or later in chunk {message.id}, got {message.header.stamp.sec} s; "
                "the clock of its camera is broken",
                hold=True,
            )
            return
        try:
            check_captured(message.id, seconds_of(message.header.stamp), now)
        except ChunkError as error:
            self._refuse(str(error), hold=False)
            return
        self._pending = (message, now)

    def clear(self) -> None:
        """Forget a chunk that waits."""
        self._pending = None

    def proceed(self, executor: Executor, clock: Callable[[], float]) -> None:
        """Execute the chunk that waits if its transform is there; wait a little for it, then refuse.

        ``clock`` tells the time in s.
        """
        if self._pending is None:
            return
        message, arrived = self._pending
        try:
            base_from_camera, base_from_tip = self._poses(message)
        except TransformException as error:
            if clock() - arrived > self._patience:
                self._pending = None
                self._refuse(
                    f"no transform from {message.header.frame_id} and {self._tip} at the image's stamp: {error}",
                    hold=True,
                )
            return
        except VipaError as error:
            self._pending = None
            self._refuse(str(error), hold=True)
            return
        self._pending = None
        began = clock()
        self._execute(executor, message, (base_from_camera, base_from_tip), (arrived, clock))
        self._taken.append(max(clock() - began, 0.0))  # a clock that was set back tells nothing

    def _poses(self, message: ActionChunk) -> tuple[Array, Array]:
        """Return (4, 4) of the camera and of the tip in the base frame, both when the image was taken."""
        frames, stamp = (message.header.frame_id, self._tip), Time.from_msg(message.header.stamp)
        camera, tip = (self._buffer.lookup_transform(self._base, frame, stamp).transform for frame in frames)
        return matrix_from_transform(camera), matrix_from_transform(tip)

    def _execute(
        self,
        executor: Executor,
        message: ActionChunk,
        poses: tuple[Array, Array],
        times: tuple[float, Callable[[], float]],
    ) -> None:
        arrived, clock = times
        base_from_camera, base_from_tip = poses
        try:
            chunk, contract = chunk_from_message(message)
        except VipaError as error:
            self._refuse(str(error), hold=True)
            return
        placed = BaseChunk(
            identifier=message.id,
            stamp=chunk.stamp,
            period=contract.control_period,
            base_from_tip=base_from_camera @ chunk.camera_from_tip,
            gripper=chunk.gripper,
            contract=contract,
            start=base_from_tip,
        )
        transformed = clock()
        try:
            self._check_words(chunk.instruction, transformed)
            executor.accept_chunk(placed, transformed)
            self._timing.accepted(message, arrived, transformed, clock())
        except VipaError as error:
            # One chunk that is late or repeated is no reason to brake; if none follows, patience ends. One that means
            # other actions is.
            self._refuse(str(error), hold=not isinstance(error, ChunkError))

    def _check_words(self, words: str, now: float) -> None:
        heard = self._latch.instruction
        if heard and normalise(words) != heard and now - self.words_since < WORDS_GRACE:
            raise ChunkError(f"the chunk is for {words!r}, the arm was told {heard!r}")

    def _refuse(self, reason: str, hold: bool) -> None:
        self.refused += 1
        self.refusal = reason
        self._node.get_logger().warning(f"chunk refused: {reason}", throttle_duration_sec=1.0)
        if hold:
            self._hold(f"chunk refused: {reason}")
