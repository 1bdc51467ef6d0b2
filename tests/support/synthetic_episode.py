"""A recorded episode whose every number is known: analytic motion of arm and camera, pictures that count frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import get_types_from_msg
from scipy.spatial.transform import Rotation

from support.recorded_messages import STORE, describe, serialise
from vipa_policy import geometry
from vipa_policy.episode import CameraTopics, EpisodeInfo, EpisodeWriter, Outcome

REPOSITORY = Path(__file__).resolve().parents[2]
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND + 123_456_789
PERIOD = SECOND // 15
WIDTH, HEIGHT = 160, 120
CAMERA = CameraTopics("/camera/color/image_raw", "/camera/depth/image_raw", "/camera/color/camera_info")
TOPICS = {
    "joint_states": "/joint_states",
    "tf": "/tf",
    "tf_static": "/tf_static",
    "instruction": "/instruction",
    "execution_state": "/arm/execution_state",
    "cell_state": "/cell/state",
}


def load_vipa_messages() -> None:
    for path in sorted((REPOSITORY / "src/vipa_msgs/msg").glob("*.msg")):
        types = get_types_from_msg(path.read_text(), f"vipa_msgs/msg/{path.stem}")
        STORE.register({name: item for name, item in types.items() if name not in STORE.fielddefs})


load_vipa_messages()


def message(message_type: str, /, **fields: Any) -> Any:
    return STORE.types[message_type](**fields)


def time_message(stamp: int) -> Any:
    return message("builtin_interfaces/msg/Time", sec=stamp // SECOND, nanosec=stamp % SECOND)


def header(stamp: int, frame: str) -> Any:
    return message("std_msgs/msg/Header", stamp=time_message(stamp), frame_id=frame)


def point(values: NDArray[np.float64]) -> Any:
    return message("geometry_msgs/msg/Point", x=float(values[0]), y=float(values[1]), z=float(values[2]))


def pose(matrix: NDArray[np.float64]) -> Any:
    x, y, z, w = (float(value) for value in geometry.quaternion_of(matrix))
    rotation = message("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)
    return message("geometry_msgs/msg/Pose", position=point(matrix[:3, 3]), orientation=rotation)


def transform_stamped(parent: str, child: str, stamp: int, matrix: NDArray[np.float64]) -> Any:
    value = pose(matrix)
    x, y, z = (float(item) for item in matrix[:3, 3])
    transform = message(
        "geometry_msgs/msg/Transform",
        translation=message("geometry_msgs/msg/Vector3", x=x, y=y, z=z),
        rotation=value.orientation,
    )
    return message(
        "geometry_msgs/msg/TransformStamped",
        header=header(stamp, parent),
        child_frame_id=child,
        transform=transform,
    )


def image(stamp: int, encoding: str, pixels: NDArray[Any], frame: str = "camera_optical") -> Any:
    height, width = pixels.shape[:2]
    return message(
        "sensor_msgs/msg/Image",
        header=header(stamp, frame),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=pixels[0].nbytes,
        data=np.ascontiguousarray(pixels).view(np.uint8).reshape(-1),
    )


def camera_info(stamp: int, width: int = WIDTH, height: int = HEIGHT) -> Any:
    k = np.array([120.0, 0.0, (WIDTH - 1) / 2, 0.0, 120.0, (HEIGHT - 1) / 2, 0.0, 0.0, 1.0])
    return message(
        "sensor_msgs/msg/CameraInfo",
        header=header(stamp, "camera_optical"),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k,
        r=np.eye(3).reshape(-1),
        p=np.zeros(12),
        binning_x=0,
        binning_y=0,
        roi=message("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    )


def moving(velocity: tuple[float, float, float], spin: tuple[float, float, float], start: NDArray[np.float64]) -> Any:
    """Return a motion of constant velocity (m/s) and constant spin (rad/s), for which lerp and slerp are exact."""

    def at(seconds: float) -> NDArray[np.float64]:
        result = start.copy()
        result[:3, 3] += np.array(velocity) * seconds
        result[:3, :3] = start[:3, :3] @ Rotation.from_rotvec(np.array(spin) * seconds).as_matrix()
        return result

    return at


@dataclass
class Scene:
    """Motions as functions of seconds since ``start``, and what to leave out of the recording."""

    base_from_link: Callable[[float], NDArray[np.float64]] = field(
        default_factory=lambda: moving(
            (0.1, 0.05, -0.02), (0.2, -0.1, 0.3), geometry.transform([0.4, 0, 0.3], [1, 0, 0, 0])
        )
    )
    link_from_tip: NDArray[np.float64] = field(
        default_factory=lambda: geometry.transform([0, 0, 0.1], [0, 0, 0.3826834, 0.9238795])
    )
    world_from_camera: Callable[[float], NDArray[np.float64]] = field(
        default_factory=lambda: moving(
            (0.03, -0.06, 0.01), (0.05, 0.1, -0.05), geometry.transform([1.1, 0, 0.5], [-0.6, -0.6, 0.36, 0.38])
        )
    )
    camera_moves: bool = True
    duration: float = 2.0
    start: int = START
    drop: Callable[[str, int], bool] = lambda topic, index: False
    objects: bool = True
    execution: bool = False
    words: list[tuple[float, str]] = field(default_factory=list)

    def width(self, seconds: float) -> float:
        return 0.08 - 0.02 * seconds

    def base_from_tip(self, seconds: float) -> NDArray[np.float64]:
        return self.base_from_link(seconds) @ self.link_from_tip

    def rgb(self, index: int) -> NDArray[np.uint8]:
        random = np.random.default_rng(index)
        return random.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)

    def depth(self, index: int) -> NDArray[np.uint16]:
        random = np.random.default_rng(1000 + index)
        depth = random.integers(400, 1500, (HEIGHT, WIDTH), dtype=np.uint16)
        depth[:3] = 0
        return depth

    def grasp_point(self, seconds: float) -> NDArray[np.float64]:
        return np.array([0.5 + 0.01 * seconds, -0.1, 0.02])

    def image_stamps(self) -> list[int]:
        # The first image half a period in, so that TF and joint states surround every one.
        return [self.start + PERIOD // 2 + index * PERIOD for index in range(int(self.duration * 15))]


def recording(scene: Scene) -> list[tuple[int, str, Any]]:
    """Return (arrival ns, topic, message) of a scene in order of arrival."""
    found: list[tuple[int, str, Any]] = []

    def add(arrival: int, topic: str, index: int, item: Any) -> None:
        if not scene.drop(topic, index):
            found.append((arrival, topic, item))

    tip = transform_stamped("link", "tip", scene.start, scene.link_from_tip)
    static = [transform_stamped("world", "base", scene.start, np.eye(4)), tip]
    if not scene.camera_moves:
        static.append(transform_stamped("world", "camera_optical", scene.start, scene.world_from_camera(0.0)))
    add(scene.start, "/tf_static", 0, message("tf2_msgs/msg/TFMessage", transforms=static))
    for index in range(int(scene.duration * 200) + 20):
        seconds = index / 200
        stamp = scene.start + index * (SECOND // 200)
        moved = [transform_stamped("base", "link", stamp, scene.base_from_link(seconds))]
        if scene.camera_moves:
            moved.append(transform_stamped("world", "camera_optical", stamp, scene.world_from_camera(seconds)))
        add(stamp + 1000, "/tf", index, message("tf2_msgs/msg/TFMessage", transforms=moved))
        half = scene.width(seconds) / 2
        joints = message(
            "sensor_msgs/msg/JointState",
            header=header(stamp, ""),
            name=["arm_joint1", "fr3_finger_joint1", "fr3_finger_joint2"],
            position=np.array([0.3, half, half]),
            velocity=np.zeros(0),
            effort=np.zeros(0),
        )
        add(stamp + 2000, "/joint_states", index, joints)
        if scene.execution and index % 10 == 0:
            add(stamp + 3000, "/arm/execution_state", index, execution_state(stamp, 0.03 if seconds > 1.0 else 0.08))
    for index, stamp in enumerate(scene.image_stamps()):
        arrival = stamp + 5_000_000
        add(arrival, CAMERA.camera_info, index, camera_info(stamp))
        add(arrival, CAMERA.color, index, image(stamp, "rgb8", scene.rgb(index)))
        add(arrival, CAMERA.depth, index, image(stamp, "16UC1", scene.depth(index)))
        if scene.objects:
            add(arrival, "/cell/state", index, cell_state(stamp, scene))
    for seconds, words in scene.words:
        add(scene.start + int(seconds * SECOND), "/instruction", 0, message("std_msgs/msg/String", data=words))
    return sorted(found, key=lambda item: item[0])


def execution_state(stamp: int, width: float) -> Any:
    empty = pose(np.eye(4))
    return message(
        "vipa_msgs/msg/ExecutionState",
        header=header(stamp, "base"),
        state=1,
        stopped=False,
        chunk_id=1,
        rows_consumed=0,
        target=empty,
        committed=[empty],
        committed_gripper=np.array([width]),
        tracking_error=0.0,
        hold_reason="",
        heard="",
        heard_stamp=time_message(0),
        mode=1,
        mode_reason="",
        guards=[],
        speed=1.0,
        consumed=0.0,
        lead=0.0,
        ahead=0.0,
        first_due=time_message(0),
        seam="",
        seam_gap=0.0,
        timings=message(
            "vipa_msgs/msg/ArmTimings",
            chunk_id=0,
            **{
                moment: time_message(0)
                for moment in ("captured", "received", "transformed", "accepted", "first_setpoint")
            },
        ),
    )


def cell_state(stamp: int, scene: Scene) -> Any:
    seconds = (stamp - scene.start) / SECOND
    red = scene.grasp_point(seconds)
    objects = [
        message(
            "vipa_msgs/msg/CellObject",
            name=name,
            kind=name.split("_")[1],
            colour=name.split("_")[0],
            pose=pose(geometry.transform(place, [0, 0, 0, 1])),
            grasp_point=point(place),
            size=0.04,
        )
        for name, place in (("red_block", red), ("white_bowl", red + 0.1))
    ]
    return message(
        "vipa_msgs/msg/CellState",
        header=header(stamp, "world"),
        seed=7,
        objects=objects,
        tip=pose(scene.base_from_tip(seconds)),
        gripper_width=scene.width(seconds),
    )


def write_synthetic_episode(directory: Path, scene: Scene, **fields: Any) -> Path:
    description: dict[str, Any] = {
        "name": "synthetic", "instruction": "reach the red block", "cameras": {"scene": CAMERA}, "topics": TOPICS,
        "base_frame": "base", "tip_frame": "tip",
    }  # fmt: skip
    outcome = fields.pop("outcome", Outcome.SUCCESS)
    writer = EpisodeWriter(directory, EpisodeInfo(**(description | fields)))
    for arrival, topic, item in recording(scene):
        if not writer.has_topic(topic):
            writer.add_topic(describe(topic, item.__msgtype__))
        assert writer.write(topic, arrival, serialise(item))
    return writer.close(outcome)
