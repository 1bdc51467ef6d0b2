"""The arm node with real messages: base frame at the image's stamp, limits, holds in message stamps, the stop latch."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from graph.fakes import BASE_FROM_CAMERA, CAMERA, CONTRACT, START, World, speeds
from graph.node_rig import Rig, rig
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from vipa_msgs.msg import ChunkTimings, PolicyStatus
from vipa_policy import geometry
from vipa_policy.control.executor import State
from vipa_policy.nodes.conversions import chunk_to_message, matrix_from_pose, seconds_of, stamp_from_nanoseconds
from vipa_policy.observation import Chunk

pytestmark = pytest.mark.graph


def assert_limited(targets: list[PoseStamped]) -> None:
    """Norms of the finite differences of the streamed positions; stamps must be one period apart."""
    stamps = np.array([seconds_of(target.header.stamp) for target in targets])
    places = np.array([matrix_from_pose(target.pose)[:3, 3] for target in targets])
    for run in np.split(np.arange(len(stamps)), np.flatnonzero(np.diff(stamps) > 0.015) + 1):
        velocities = np.diff(places[run], axis=0) / 0.01
        accelerations = np.diff(velocities, axis=0) / 0.01
        for values, bound in ((velocities, 0.25), (accelerations, 1.0), (np.diff(accelerations, axis=0) / 0.01, 20.0)):
            assert np.linalg.norm(values, axis=1).max(initial=0.0) <= bound * (1.0 + 1e-4) + 1e-6


def send_chunk(world: World, identifier: int, goal: np.ndarray, steps_ago: int = 8, **contract: object) -> None:
    """Publish a chunk captured some steps ago that rests at a place of the base frame."""
    stamp = stamp_from_nanoseconds((world.steps - steps_ago) * 10_000_000)
    rows = np.tile(START, (16, 1, 1))
    rows[:, :3, 3] = goal
    chunk = Chunk(
        stamp=seconds_of(stamp),
        camera_from_tip=geometry.inverse(BASE_FROM_CAMERA) @ rows,
        gripper=np.full(16, 0.08),
        pointed=np.zeros(3),
        pointed_confidence=1.0,
        instruction="",
    )
    header = Header(stamp=stamp, frame_id=CAMERA)
    message = chunk_to_message(chunk, CONTRACT, identifier, header, ChunkTimings(captured=stamp))
    for name, value in contract.items():
        setattr(message.contract, name, value)
    world.chunk_publisher.publish(message)


def hold_after(made: Rig, broken: set[str]) -> tuple[float, float, float]:
    """Break inputs of a moving arm; returns when they broke, when it began to brake, when it stood (stamps, s)."""
    world = made.world
    made.start_moving()
    world.run(20, until=lambda: world.steps % 7 == 0)  # right after an image: the worst case
    world.broken = broken
    lost = world.time
    assert world.run(150, until=made.holding), world.health
    ramp = next(
        state for state in world.states if state.state == State.RAMPING and seconds_of(state.header.stamp) > lost
    )
    began = seconds_of(ramp.header.stamp)
    held = next(
        state for state in world.states if state.state == State.HOLDING and seconds_of(state.header.stamp) > lost
    )
    return lost, began, seconds_of(held.header.stamp)


def test_it_goes_there_within_limits_from_the_measured_pose() -> None:
    with rig() as made:
        world = made.world
        world.run(20)
        assert world.targets == []  # nothing moves before the first chunk
        world.say("reach the red block")
        goal = made.policy.goals["reach the red block"]
        assert world.run(600, until=lambda: np.linalg.norm(world.base_from_tip[:3, 3] - goal) < 0.003)
        first = matrix_from_pose(world.targets[0].pose)
        assert np.linalg.norm(first[:3, 3] - START[:3, 3]) < 0.001
        assert_limited(world.targets)
        assert speeds(world.targets)[1].max() > 0.1
        assert world.gripper_goals == [pytest.approx(0.08)]
        state = world.states[-1]
        assert state.chunk_id > 0
        assert len(state.committed) == 16 - state.rows_consumed
        assert world.health["arm"] == "following"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [({"colour", "depth", "info"}, "policy: no colour of camera scene"), ({"tf", "joints"}, "TF of fr3_hand_tcp is")],
    ids=["camera", "arm"],
)
def test_a_loss_begins_a_hold_within_150_ms_that_ends_within_600_ms(broken: set[str], reason: str) -> None:
    with rig() as made:
        lost, began, held = hold_after(made, broken)
        assert began - lost <= 0.15
        assert held - began <= 0.6
        assert reason in made.world.states[-1].hold_reason
        assert reason in made.world.health["arm"]
        assert_limited(made.world.targets)
        made.world.broken = set()
        assert made.world.run(150, until=made.following)
        made.world.run(20)
        assert_limited(made.world.targets)


def test_a_policy_that_falls_silent_begins_a_hold() -> None:
    with rig(with_policy=False) as made:
        world = made.world
        world.run(20)
        for identifier in range(1, 8):
            send_chunk(world, identifier, np.array([0.7, 0.2, 0.1]))
            world.run(7)
        assert made.following()
        due = world.time
        assert world.run(60, until=lambda: world.states[-1].state == State.RAMPING)
        assert seconds_of(world.states[-1].header.stamp) - due <= 0.15
        assert "no new chunk for" in world.states[-1].hold_reason
        assert world.run(60, until=made.holding)


def test_a_stop_latches_and_only_other_words_or_resume_clear_it() -> None:
    with rig() as made:
        world = made.world
        made.start_moving()
        world.say("stop")
        assert world.run(100, until=made.holding)
        assert world.states[-1].stopped
        count = len(world.targets)
        for _ in range(3):
            world.say("reach the red block")
            world.run(20)
            world.say("stop")
        assert made.holding()
        assert len(world.targets) == count  # the driver keeps its last target
        assert "stopped by instruction" in world.states[-1].hold_reason
        world.base_from_tip = START.copy()  # somebody moved the arm meanwhile
        world.run(5)
        client = world.create_client(Trigger, "arm/resume")
        assert world.wait(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        assert world.wait(answer.done)
        assert answer.result().success
        assert world.run(100, until=made.following), world.health
        first = matrix_from_pose(world.targets[count].pose)
        assert np.linalg.norm(first[:3, 3] - START[:3, 3]) < 0.002
        assert world.chunks[-1].instruction == "reach the red block"
        stop = world.create_client(Trigger, "arm/stop")
        assert world.wait(stop.service_is_ready)
        assert world.wait(stop.call_async(Trigger.Request()).done)
        assert world.run(100, until=made.holding)
        assert world.run(20, until=lambda: world.statuses[-1].state == PolicyStatus.STOPPED)
        world.say("go left")
        assert world.run(100, until=made.following)


def test_what_only_one_of_the_nodes_heard_reaches_the_other() -> None:
    """A publisher that leaves at once may have been matched by one of the two nodes only."""
    with rig() as made:
        world = made.world
        nodes = {node.get_name(): node for node in world.followers}

        def tell(name: str, words: str) -> None:
            nodes[name]._on_instruction(String(data=words))  # type: ignore[attr-defined]

        world.run(20)
        tell("arm", "reach the red block")
        assert world.run(100, until=made.following), world.health
        assert world.chunks[-1].instruction == "reach the red block"
        tell("arm", "stop")
        assert world.run(100, until=lambda: made.holding() and made.status()[0] == PolicyStatus.STOPPED)
        tell("policy", "go left")
        assert world.run(100, until=made.following), world.health
        assert not world.states[-1].stopped
        assert world.states[-1].heard == "go left"
        tell("policy", "stop")
        assert world.run(100, until=lambda: made.holding() and world.states[-1].stopped)


def test_unknown_words_hold_a_moving_arm() -> None:
    with rig() as made:
        made.start_moving()
        made.world.say("juggle")
        assert made.world.run(100, until=made.holding)
        assert "unknown words in 'juggle'" in made.world.states[-1].hold_reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tip_frame": "fr3_link8"}, "tip_frame: 'fr3_link8' / 'fr3_hand_tcp'"),
        ({"mode": "delta"}, "mode: 'delta' / 'absolute'"),
        ({"horizon": 12}, "expected 12 poses"),
    ],
)
def test_a_chunk_of_another_contract_is_refused_and_holds(change: dict[str, object], words: str) -> None:
    with rig(with_policy=False) as made:
        world = made.world
        world.run(20)
        send_chunk(world, 1, np.array([0.7, 0.2, 0.1]))
        assert world.run(20, until=made.following)
        world.run(10)
        send_chunk(world, 2, np.array([0.7, 0.2, 0.1]), steps_ago=2, **change)
        assert world.run(80, until=made.holding)
        assert words in world.states[-1].hold_reason
        assert_limited(world.targets)


def test_chunks_move_to_the_base_with_the_transform_at_their_stamp() -> None:
    """The camera's frame hangs on the moving tip; the latest transform would be centimetres off."""
    with rig(with_policy=False) as made:
        world = made.world
        for _ in range(40):
            world.base_from_tip = START.copy()
            world.base_from_tip[0, 3] += 0.002 * (world.steps + 1)
            world.run(1)
        ago = 20
        stamp = stamp_from_nanoseconds((world.steps - ago) * 10_000_000)
        base_from_tip_then = START.copy()
        base_from_tip_then[0, 3] += 0.002 * (world.steps - ago)
        rows = np.tile(np.eye(4), (16, 1, 1))
        chunk = Chunk(seconds_of(stamp), rows, np.full(16, 0.08), np.zeros(3), 1.0, "")
        message = chunk_to_message(
            chunk, CONTRACT, 1, Header(stamp=stamp, frame_id="fr3_hand_tcp"), ChunkTimings(captured=stamp)
        )
        world.chunk_publisher.publish(message)
        assert world.run(30, until=lambda: bool(world.states) and len(world.states[-1].committed) > 0)
        committed = matrix_from_pose(world.states[-1].committed[-1])
        assert np.allclose(committed, base_from_tip_then, atol=1e-6)


def test_a_chunk_whose_transform_is_missing_is_refused_with_the_reason() -> None:
    with rig(with_policy=False) as made:
        world = made.world
        world.run(20)
        send_chunk(world, 1, np.array([0.7, 0.2, 0.1]), steps_ago=-30)  # from the future
        world.run(10)
        assert "chunk 1 was captured" in made.arm.diagnostic_values()["last refusal"]
        message_chunk = Chunk(world.time, np.tile(np.eye(4), (16, 1, 1)), np.full(16, 0.08), np.zeros(3), 1.0, "")
        stamp = stamp_from_nanoseconds(world.steps * 10_000_000)
        header = Header(stamp=stamp, frame_id="another_camera")
        world.chunk_publisher.publish(
            chunk_to_message(message_chunk, CONTRACT, 2, header, ChunkTimings(captured=stamp))
        )
        world.run(10)
        assert "no transform from another_camera" in world.states[-1].hold_reason
        header = Header(stamp=Time(sec=-3), frame_id="another_camera")
        world.chunk_publisher.publish(
            chunk_to_message(message_chunk, CONTRACT, 3, header, ChunkTimings(captured=stamp))
        )
        world.run(10)
        assert "expected a stamp of 0 s or later in chunk 3" in made.arm.diagnostic_values()["last refusal"]
        assert world.targets == []
