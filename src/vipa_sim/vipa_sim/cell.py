"""The cell: physics, the arm and gripper as their driver offers them, objects, frames and cameras. No ROS.

``world`` and ``fr3_link0`` coincide. Use a cell from one thread.
Guarded by tests/sim/test_cell.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import mujoco
import numpy as np

from vipa_policy.geometry import Array, inverse, is_rotation
from vipa_policy.observation import CameraView
from vipa_sim import camera as rgbd
from vipa_sim.calibration_board import BoardPlacement
from vipa_sim.camera import CameraConfig, NoiseConfig
from vipa_sim.driver import MAXIMUM_WIDTH, ArmServo, GripperServo
from vipa_sim.model import (
    ARM_JOINTS,
    FINGER_JOINTS,
    FLANGE_OFFSET,
    TIP_OFFSET,
    build_model,
)
from vipa_sim.robot import ArmKinematics
from vipa_sim.scene import Appearance, CellObject, CellSnapshot, Layout, sample_layout, start_pose
from vipa_sim.tabletop import Tabletop, pose_of_body

BASE_FRAME: Final = "fr3_link0"
SCENE: Final = "scene"
WRIST: Final = "wrist"
SCENE_POSE: Final = (1.19, 0.0, 0.475, 0.0, 0.475, 3.14159)
WRIST_POSE: Final = (0.085, 0.0, 0.02, 0.0, -2.15, 0.0)
JOINT_NAMES: Final = (*ARM_JOINTS, "fr3_finger_joint1", "fr3_finger_joint2")
# Names of the frames as franka_description has them, beside those of the model.
_LINKS: Final = tuple((f"fr3_link{index}", f"fr3_link{index + 1}") for index in range(7))
_FRAME_ROOTS: Final = {SCENE: ("world", "camera"), WRIST: ("fr3_hand", "wrist")}


@dataclass(frozen=True)
class CellConfig:
    """How the cell is built.

    Attributes:
        image_width: px.
        image_height: px.
        scene_camera: pose in ``world``.
        wrist_camera: pose in ``fr3_hand``; None switches the wrist camera off.
        noise: of the sensors; None switches it off.
        vary_appearance: whether table, lamp and block sizes vary with the layout's seed.
        timestep: s of one physics step.
        control_period: s between ticks of the joint servo, a whole number of timesteps.
        pretty: shadows and smooth edges in the pictures; slow, for people.
        board: a calibration board on the table or on the hand; None for none.
    """

    image_width: int = 320
    image_height: int = 240
    scene_camera: CameraConfig = field(default_factory=lambda: CameraConfig(SCENE_POSE))
    wrist_camera: CameraConfig | None = None
    noise: NoiseConfig | None = field(default_factory=NoiseConfig)
    vary_appearance: bool = True
    timestep: float = 0.002
    control_period: float = 0.004
    pretty: bool = False
    board: BoardPlacement | None = None

    def __post_init__(self) -> None:
        if self.image_width < 16 or self.image_height < 16:
            raise ValueError(f"expected images of 16 x 16 px or more, got {self.image_width} x {self.image_height}")
        if not 0.0 < self.timestep <= self.control_period:
            raise ValueError(f"expected 0 < timestep <= control_period, got {self.timestep} and {self.control_period}")


@dataclass(frozen=True)
class LinkTransform:
    """A transform between two frames: ``parent_from_child`` (4, 4)."""

    parent: str
    child: str
    parent_from_child: Array


@dataclass(frozen=True)
class LinkTransforms:
    """All frames of the cell: those that stand still in their parent, and those that move."""

    static: tuple[LinkTransform, ...]
    dynamic: tuple[LinkTransform, ...]


@dataclass(frozen=True)
class CellState:
    """A snapshot from which a cell of the same configuration goes on, or draws, identically."""

    physics: Array
    clock: float
    layout: Layout
    cameras: dict[str, CameraConfig]
    arm: tuple[Array, ...]
    gripper: tuple[float, ...]


class Cell:
    """The simulated cell. It begins in the layout of seed 0; ``reset`` changes it."""

    def __init__(self, config: CellConfig | None = None) -> None:
        self.config = config or CellConfig()
        self._cameras = {SCENE: self.config.scene_camera}
        if self.config.wrist_camera is not None:
            self._cameras[WRIST] = self.config.wrist_camera
        self.model = build_model(
            (self.config.image_width, self.config.image_height),
            tuple(self._cameras),
            self.config.timestep,
            self.config.pretty,
            self.config.board,
        )
        self.data = mujoco.MjData(self.model)
        self._kinematics = ArmKinematics(self.model)
        self._arm = ArmServo(self.model, self._kinematics)
        self._gripper = GripperServo(self.model)
        self._renderer: rgbd.Renderer | None = None
        self._arm_qpos = np.array([int(self.model.joint(name).qposadr[0]) for name in ARM_JOINTS])
        self._arm_qvel = np.array([int(self.model.joint(name).dofadr[0]) for name in ARM_JOINTS])
        self._finger_qpos = np.array([int(self.model.joint(name).qposadr[0]) for name in FINGER_JOINTS])
        self._finger_qvel = np.array([int(self.model.joint(name).dofadr[0]) for name in FINGER_JOINTS])
        self._tip = self.model.site("tip").id
        self._clock = 0.0
        self._tabletop = Tabletop(self.model, self.data, self.config.vary_appearance)
        self._hand_bodies = {self.model.body(name).id for name in ("hand", "left_finger", "right_finger")}
        for name in self._cameras:
            self._place_camera(name)
        self.reset(sample_layout(0, False))

    # Layout and time

    def reset(self, layout: Layout) -> None:
        """Lay the table anew and rest the arm at the layout's start pose, gripper open. Time does not jump back."""
        time = self.data.time
        mujoco.mj_resetData(self.model, self.data)
        self.data.time = time
        self._clock = time
        self._tabletop.lay(layout)
        if not self.teleport(start_pose(layout), MAXIMUM_WIDTH):
            raise RuntimeError(f"the start pose of layout {layout.seed} is out of the arm's reach")

    @property
    def layout(self) -> Layout:
        """What the table was laid with."""
        return self._tabletop.layout

    @property
    def appearance(self) -> Appearance:
        """How things look in this layout, and how large the blocks are."""
        return self._tabletop.appearance

    @property
    def time(self) -> float:
        """Simulated time in s."""
        return float(self.data.time)

    def step(self, duration: float) -> None:
        """Run the physics on by a duration in s; what is left of a timestep is carried to the next call."""
        self._clock += duration
        timestep = self.config.timestep
        per_tick = max(1, round(self.config.control_period / timestep))
        remaining = int((self._clock - self.data.time) / timestep + 1e-6)
        while remaining > 0:
            count = min(per_tick, remaining)
            self._arm.tick(self.data, count * timestep)
            self._gripper.tick(self.data, count * timestep)
            mujoco.mj_step(self.model, self.data, nstep=count)
            remaining -= count
        self._refresh()

    def _refresh(self) -> None:
        """Bring frames and cameras to the present joint angles; stepping leaves them one timestep behind."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    # Arm and gripper

    def set_target(self, base_from_tip: Array) -> bool:
        """Aim the tool centre at a pose (4, 4) in ``fr3_link0``, as an arm driver's Cartesian target.

        Returns whether the pose is in reach; if not, the arm goes as near as it gets. Raises ValueError for what is no
        pose.
        """
        self._check_pose(base_from_tip)
        return self._arm.set_target(base_from_tip)

    def set_joint_target(self, joints: Array) -> None:
        """Aim the arm at joint angles (7,) in rad; beyond a stop it goes as far as the stop.

        Raises ValueError for what are no joint angles.
        """
        array = np.asarray(joints, dtype=float)
        if array.shape != (7,) or not np.all(np.isfinite(array)):
            raise ValueError(f"expected 7 finite joint angles, got {joints!r}")
        self._arm.set_goal(array)

    def set_gripper(self, width: float, speed: float = 0.0, force: float = 0.0) -> None:
        """Send the fingers to a width (m) at a speed (m/s; 0: default 0.1), holding with a force (N; 0: default 20)."""
        self._gripper.set_goal(width, speed, force)

    def teleport(self, base_from_tip: Array, gripper_width: float, carry: str | None = None) -> bool:
        """Put the arm, at rest, at a pose (4, 4) with the fingers at a width in m; for making data, not for driving.

        Args:
            base_from_tip: (4, 4).
            gripper_width: m.
            carry: name of a block to put between the fingers, its centre at the tool centre.

        Returns False, and leaves everything as it was, where the pose is out of reach.
        """
        self._check_pose(base_from_tip)
        joints, reached = self._kinematics.solve(base_from_tip)
        if not reached:
            return False
        self.data.qpos[self._arm_qpos] = joints
        self.data.qvel[self._arm_qvel] = 0.0
        self.data.qpos[self._finger_qpos] = 0.5 * gripper_width
        self.data.qvel[self._finger_qvel] = 0.0
        self.data.qacc_warmstart[:] = 0.0
        self._arm.place(joints)
        self._gripper.place(gripper_width)
        self._refresh()
        if carry is not None:
            x_axis = self.base_from_tip[:3, 0]
            position = self.base_from_tip[:3, 3]
            yaw = float(np.arctan2(x_axis[1], x_axis[0]))
            self._tabletop.place(carry, (float(position[0]), float(position[1]), float(position[2])), yaw)
            self._refresh()
        return True

    @staticmethod
    def _check_pose(base_from_tip: Array) -> None:
        matrix = np.asarray(base_from_tip)
        if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)) or not is_rotation(matrix):
            raise ValueError(f"expected a finite rigid transform of shape (4, 4), got {matrix!r}")

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the nine joints: seven of the arm, two of the fingers."""
        return JOINT_NAMES

    @property
    def joint_positions(self) -> Array:
        """(9,) in rad, for the fingers in m."""
        return np.concatenate([self.data.qpos[self._arm_qpos], self.data.qpos[self._finger_qpos]])

    @property
    def joint_velocities(self) -> Array:
        """(9,) in rad/s, for the fingers in m/s."""
        return np.concatenate([self.data.qvel[self._arm_qvel], self.data.qvel[self._finger_qvel]])

    @property
    def base_from_tip(self) -> Array:
        """(4, 4) measured pose of ``fr3_hand_tcp`` in ``fr3_link0``."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.data.site_xmat[self._tip].reshape(3, 3)
        matrix[:3, 3] = self.data.site_xpos[self._tip]
        return matrix

    @property
    def gripper_width(self) -> float:
        """Measured m between the fingers."""
        return self._gripper.width(self.data)

    @property
    def gripper_goal(self) -> float:
        """Width in m that the fingers were last sent to."""
        return self._gripper.goal

    @property
    def gripper_moving(self) -> bool:
        """Whether the fingers are under way."""
        return self._gripper.is_moving(self.data)

    @property
    def gripper_reached(self) -> bool:
        """Whether the measured width is the goal; at rest without it, the fingers have stalled on something."""
        return self._gripper.is_reached(self.data)

    def hand_contacts(self) -> frozenset[str]:
        """Return the names of objects, and "table", that hand or fingers touch in the present state."""
        mujoco.mj_collision(self.model, self.data)
        touched = set()
        for contact in self.data.contact[: self.data.ncon]:
            bodies = [int(self.model.geom_bodyid[geom]) for geom in contact.geom]
            for mine, other in (bodies, bodies[::-1]):
                if mine in self._hand_bodies and other not in self._hand_bodies:
                    touched.add(self.model.body(other).name if other else "table")
        return frozenset(touched)

    @property
    def base_from_hand(self) -> Array:
        """(4, 4) measured pose of ``fr3_hand`` in ``fr3_link0``."""
        return self._pose_of("hand")

    # Objects

    def objects(self) -> tuple[CellObject, ...]:
        """Return what lies in the cell, blocks first."""
        return self._tabletop.objects()

    def snapshot(self) -> CellSnapshot:
        """Return the truth that experts and judges work on."""
        return CellSnapshot(self.time, self.base_from_tip, self.gripper_width, self.objects())

    def _pose_of(self, body: str) -> Array:
        return pose_of_body(self.data, body)

    # Frames

    def link_transforms(self) -> LinkTransforms:
        """Return all frames from ``world`` to the tool centre, the fingers and the cameras' optical frames."""
        hand = self._pose_of("hand")
        from_hand = inverse(hand)
        dynamic = [
            LinkTransform(parent, child, inverse(self._pose_of(parent)) @ self._pose_of(child))
            for parent, child in _LINKS
        ]
        dynamic += [
            LinkTransform("fr3_hand", "fr3_leftfinger", from_hand @ self._pose_of("left_finger")),
            LinkTransform("fr3_hand", "fr3_rightfinger", from_hand @ self._pose_of("right_finger")),
        ]
        flange, tip = np.eye(4), np.eye(4)
        flange[2, 3], tip[2, 3] = FLANGE_OFFSET, TIP_OFFSET
        static = [
            LinkTransform("world", "fr3_link0", np.eye(4)),
            LinkTransform("fr3_link7", "fr3_link8", flange),
            LinkTransform("fr3_link8", "fr3_hand", inverse(self._pose_of("fr3_link7") @ flange) @ hand),
            LinkTransform("fr3_hand", "fr3_hand_tcp", tip),
        ]
        for name in self._cameras:
            static += self._camera_transforms(name)
        return LinkTransforms(tuple(static), tuple(dynamic))

    def _camera_transforms(self, name: str) -> list[LinkTransform]:
        parent, prefix = _FRAME_ROOTS[name]
        link, colour = f"{prefix}_link", f"{prefix}_color_frame"
        return [
            LinkTransform(parent, link, self._cameras[name].parent_from_link()),
            LinkTransform(link, colour, np.eye(4)),
            LinkTransform(colour, self.optical_frame(name), rgbd.LINK_FROM_OPTICAL),
        ]

    @staticmethod
    def optical_frame(name: str) -> str:
        """Return the frame in which images of this camera are stamped."""
        return f"{_FRAME_ROOTS[name][1]}_color_optical_frame"

    # Cameras

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names of the cameras: "scene", and "wrist" where there is one."""
        return tuple(self._cameras)

    def camera_config(self, name: str) -> CameraConfig:
        """Return where a camera is and what its lens takes in."""
        if name not in self._cameras:
            raise KeyError(f"no camera '{name}' in this cell; there are: {', '.join(self._cameras)}")
        return self._cameras[name]

    def set_camera_pose(self, name: str, x: float, y: float, z: float, roll: float, pitch: float, yaw: float) -> None:
        """Move a camera's link to a pose (m, rad) in its parent: ``world``, for the wrist camera ``fr3_hand``."""
        self._cameras[name] = replace(self.camera_config(name), pose=(x, y, z, roll, pitch, yaw))
        self._place_camera(name)
        self._refresh()

    def set_camera_field_of_view(self, name: str, vertical_field_of_view: float) -> None:
        """Change a camera's lens; degrees."""
        if not 5.0 <= vertical_field_of_view <= 150.0:
            raise ValueError(f"expected a field of view of 5 to 150 degrees, got {vertical_field_of_view}")
        self._cameras[name] = replace(self.camera_config(name), vertical_field_of_view=vertical_field_of_view)
        self._place_camera(name)

    def _place_camera(self, name: str) -> None:
        settings = self._cameras[name]
        matrix = settings.parent_from_link() @ rgbd.LINK_FROM_OPTICAL @ rgbd.OPTICAL_FROM_MUJOCO
        index = self.model.camera(name).id
        self.model.cam_pos[index] = matrix[:3, 3]
        mujoco.mju_mat2Quat(self.model.cam_quat[index], matrix[:3, :3].ravel())
        self.model.cam_fovy[index] = settings.vertical_field_of_view

    def world_from_camera(self, name: str) -> Array:
        """Return the (4, 4) pose of a camera's optical frame (x right, y down, z forward) in ``world``."""
        parent = np.eye(4) if name != WRIST else self._pose_of("hand")
        return parent @ self.camera_config(name).parent_from_link() @ rgbd.LINK_FROM_OPTICAL

    def intrinsics(self, name: str) -> Array:
        """Return a camera's (3, 3) pinhole matrix in px."""
        field_of_view = self.camera_config(name).vertical_field_of_view
        return rgbd.intrinsics(self.config.image_width, self.config.image_height, field_of_view)

    def capture(self, name: str, stamp_ns: int | None = None) -> CameraView:
        """Return what a camera sees now; depth holds whole millimetres, as its topic would.

        Args:
            name: of the camera.
            stamp_ns: ns, of the image; noise depends on it, on the layout's seed and on the name, and on nothing else.
                Simulated time when None.
        """
        rgb, depth = self.render(name)
        if self.config.noise is not None:
            stamp = round(self.time * 1e9) if stamp_ns is None else stamp_ns
            rgb, depth = rgbd.add_noise(rgb, depth, self.config.noise, self.layout.seed, name, stamp)
        depth = rgbd.depth_from_millimetres(rgbd.depth_to_millimetres(depth))
        reference_from_camera = np.eye(4)
        if name != SCENE:
            reference_from_camera = inverse(self.world_from_camera(SCENE)) @ self.world_from_camera(name)
        return CameraView(name, rgb, depth, self.intrinsics(name), reference_from_camera)

    def render(self, name: str) -> tuple[rgbd.RgbImage, rgbd.DepthImage]:
        """Return what an ideal camera would see: rgb (height, width, 3) and exact depth (height, width) in m."""
        self.camera_config(name)
        if self._renderer is None:
            size = (self.config.image_width, self.config.image_height)
            self._renderer = rgbd.Renderer(self.model, *size, pretty=self.config.pretty)
        return self._renderer.render(self.data, name)

    # Snapshots

    def state(self) -> CellState:
        """Return a snapshot of everything that physics and pictures depend on."""
        physics = np.empty(mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(self.model, self.data, physics, mujoco.mjtState.mjSTATE_INTEGRATION)
        return CellState(
            physics, self._clock, self.layout, dict(self._cameras), self._arm.state(), self._gripper.state()
        )

    def set_state(self, state: CellState) -> None:
        """Go back to a snapshot, time included."""
        self._tabletop.dress(state.layout)
        mujoco.mj_setState(self.model, self.data, state.physics, mujoco.mjtState.mjSTATE_INTEGRATION)
        self._clock = state.clock
        self._arm.restore(state.arm)
        self._gripper.restore(state.gripper)
        for name, settings in state.cameras.items():
            self._cameras[name] = settings
            self._place_camera(name)
        self._refresh()

    def close(self) -> None:
        """Free the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
