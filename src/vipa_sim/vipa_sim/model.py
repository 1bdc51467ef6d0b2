"""The MuJoCo model of the cell: FR3 with hand, table, every block and bowl that a layout may hold, lamps, cameras.

One model serves all layouts: what a layout does not hold is parked, invisible and untouchable, so that a new layout
costs microseconds and not a compilation. Guarded by tests/sim/test_cell.py.
"""

from __future__ import annotations

import math
from importlib import resources
from typing import Any, Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from vipa_sim.calibration_board import BoardPlacement, add_board
from vipa_sim.meshes import coarsen_visual_meshes
from vipa_sim.scene import BLOCK_EDGE, BOWL_DIAMETER, BOWL_FLOOR, BOWL_HEIGHT, BOWLS, COLOURS

ARM_JOINTS: Final = tuple(f"fr3_joint{index}" for index in range(1, 8))
FINGER_JOINTS: Final = ("finger_joint1", "finger_joint2")
HOME: Final = (0.0, -0.55, 0.0, -2.35, 0.0, 1.80, 0.785)
"""rad, the posture that inverse kinematics starts from and leans to."""

TIP_OFFSET: Final = 0.1034
"""m from ``fr3_hand`` to ``fr3_hand_tcp`` along z."""
FLANGE_OFFSET: Final = 0.107
"""m from ``fr3_link7`` to ``fr3_link8`` along z."""

VISIBLE_GROUP: Final = 2
COLLISION_GROUP: Final = 3
MESH_DETAIL: Final = 0.004
"""m, about a pixel of a 320 x 240 picture at the distance of the arm."""

# Fingers: stiff enough to follow a width within 0.1 mm, soft enough not to chatter on a block at 500 Hz.
FINGER_STIFFNESS: Final = 4000.0
FINGER_DAMPING: Final = 120.0
BLOCK_MASS: Final = 0.05
BOWL_MASS: Final = 0.25
BOWL_SIDES: Final = 16
GRASP_FRICTION: Final = (1.2, 0.02, 0.0005)


def build_model(
    image_size: tuple[int, int],
    cameras: tuple[str, ...],
    timestep: float,
    pretty: bool,
    board: BoardPlacement | None = None,
) -> mujoco.MjModel:
    """Return the compiled cell.

    Args:
        image_size: (width, height) in px of the largest picture to be drawn.
        cameras: names; "wrist" rides on the hand, the others stand in the world. Poses are set later.
        timestep: s of one physics step.
        pretty: shadows, smooth edges and meshes in full detail, for people; many times slower to draw.
        board: a calibration board to stand on the table or ride on the hand; None leaves the cell as it is.
    """
    assets = resources.files("franky_sim") / "assets"
    spec = mujoco.MjSpec.from_file(str(assets / "fr3.xml"))
    spec.meshdir = str(assets / "meshes")
    spec.modelname = "vipa_cell"
    spec.option.timestep = timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    # Fixed scale of the depth buffer and the lamps, whatever lies on the table.
    spec.stat.extent = 1.0
    spec.stat.center = [0.5, 0.0, 0.2]
    spec.visual.map.znear = 0.02
    spec.visual.map.zfar = 12.0
    global_settings = spec.visual.global_
    global_settings.offwidth, global_settings.offheight = image_size
    spec.visual.quality.offsamples = 4 if pretty else 0
    spec.visual.quality.shadowsize = 8192 if pretty else 0
    spec.visual.map.shadowclip = 1.6
    for key in list(spec.keys):
        spec.delete(key)
    if not pretty:
        coarsen_visual_meshes(spec, MESH_DETAIL)

    _prepare_arm(spec)
    _add_room(spec)
    for name, colour in COLOURS.items():
        _add_block(spec, name, colour)
    _add_bowl_mesh(spec)
    for name, colour in BOWLS.items():
        _add_bowl(spec, name, colour)
    for camera in cameras:
        parent = spec.body("hand") if camera == "wrist" else spec.worldbody
        parent.add_camera(name=camera)
    if board is not None:
        add_board(spec, board, VISIBLE_GROUP)
    return spec.compile()


def _prepare_arm(spec: Any) -> None:
    """Compensate gravity as the arm's controller does, name the tool centre, and give the gripper a width servo."""
    for body in spec.bodies:
        if body.name != "world":
            body.gravcomp = 1.0
    spec.body("hand").add_site(name="tip", pos=[0.0, 0.0, TIP_OFFSET], group=4)
    for finger in ("left_finger", "right_finger"):
        for geom in spec.body(finger).geoms:
            if geom.type == mujoco.mjtGeom.mjGEOM_BOX:
                geom.friction = GRASP_FRICTION
    for name in FINGER_JOINTS:
        spec.joint(name).armature = 0.02
        spec.joint(name).frictionloss = 0.0
    hand = spec.actuator("hand")
    # The tendon is half the width: each finger feels half the actuator's force.
    hand.gainprm[0] = FINGER_STIFFNESS
    hand.biasprm[:3] = (0.0, -FINGER_STIFFNESS, -FINGER_DAMPING)
    hand.inheritrange = 0.0
    hand.ctrlrange = (0.0, 0.04)
    hand.forcerange = (-60.0, 60.0)


def _add_room(spec: Any) -> None:
    """Add table, floor, sky and lamps."""
    spec.visual.headlight.ambient = [0.38, 0.38, 0.38]
    spec.visual.headlight.diffuse = [0.22, 0.22, 0.22]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.86, 0.89, 0.92],
        rgb2=[0.60, 0.65, 0.70],
        width=64,
        height=384,
    )
    grain = wood_grain(512)
    texture = spec.add_texture(
        name="grain", type=mujoco.mjtTexture.mjTEXTURE_2D, width=grain.shape[1], height=grain.shape[0], nchannel=3
    )
    texture.data = grain.tobytes()
    wood = spec.add_material(name="table", specular=0.15, shininess=0.2, reflectance=0.0, texuniform=True)
    wood.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "grain"
    wood.texrepeat = [1.2, 1.2]
    spec.add_material(name="floor", rgba=[0.52, 0.55, 0.58, 1.0], specular=0.0, shininess=0.0)
    spec.add_material(name="leg", rgba=[0.25, 0.26, 0.28, 1.0], specular=0.2)
    spec.add_material(name="block", specular=0.25, shininess=0.3)
    spec.add_material(name="bowl", specular=0.5, shininess=0.6)
    world = spec.worldbody
    world.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.52, 0.55, 0.02],
        pos=[0.36, 0.0, -0.02],
        material="table",
        group=VISIBLE_GROUP,
    )
    for index, (x, y) in enumerate(((-0.1, -0.5), (-0.1, 0.5), (0.82, -0.5), (0.82, 0.5))):
        world.add_geom(
            name=f"leg{index}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[0.03, 0.03, 0.33],
            pos=[x, y, -0.37],
            material="leg",
            group=VISIBLE_GROUP,
            contype=0,
            conaffinity=0,
        )
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[4.0, 4.0, 0.1],
        pos=[0.0, 0.0, -0.70],
        material="floor",
        group=VISIBLE_GROUP,
    )
    world.add_light(
        name="lamp",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[1.0, -0.4, 2.0],
        dir=[-0.35, 0.25, -0.9],
        diffuse=[0.62, 0.61, 0.58],
        specular=[0.3, 0.3, 0.3],
        castshadow=True,
    )


def wood_grain(size: int) -> NDArray[np.uint8]:
    """Return a (size, size, 3) uint8 light texture of soft streaks that wraps around; the same every time."""
    generator = np.random.default_rng(7)
    along = np.linspace(0.0, 2.0 * math.pi, size, endpoint=False)
    across = along[:, None]
    streaks = np.zeros((size, size))
    for frequency in range(3, 40):
        phase, wobble, strength = generator.uniform(0.0, 6.28), generator.uniform(0.0, 6.28), 1.0 / frequency**0.7
        streaks += strength * np.sin(frequency * across + phase + 0.6 * np.sin(along + wobble)[None, :])
    streaks = streaks / streaks.std()
    grain = 0.93 + 0.022 * streaks + 0.008 * generator.standard_normal((size, size))
    return np.clip(grain[..., None] * np.array([255.0, 252.0, 246.0]), 0.0, 255.0).astype(np.uint8)


def _add_block(spec: Any, name: str, colour: tuple[float, float, float]) -> None:
    """Add one free block."""
    body = spec.worldbody.add_body(name=f"{name}_block", pos=[0.0, 0.0, -2.0])
    body.add_freejoint(name=f"{name}_block")
    body.add_geom(
        name=f"{name}_block",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[BLOCK_EDGE / 2] * 3,
        material="block",
        rgba=[*colour, 1.0],
        mass=BLOCK_MASS,
        group=VISIBLE_GROUP,
        friction=GRASP_FRICTION,
        condim=4,
    )


def _bowl_profile() -> list[tuple[float, float]]:
    """Return (radius, height) pairs of a bowl's outline in m, from the inside's middle to the underside's."""
    outer = BOWL_DIAMETER / 2
    inside = [(0.0, BOWL_FLOOR), (0.030, BOWL_FLOOR), (0.038, BOWL_FLOOR + 0.003), (0.045, 0.020)]
    rim = [(outer - 0.004, BOWL_HEIGHT - 0.001), (outer - 0.002, BOWL_HEIGHT), (outer, BOWL_HEIGHT - 0.001)]
    outside = [(0.050, 0.020), (0.042, 0.004), (0.034, 0.0), (0.0, 0.0)]
    return [*inside, *rim, *outside]


def _add_bowl_mesh(spec: Any) -> None:
    """Add the surface of revolution that bowls are drawn with."""
    profile = _bowl_profile()
    sides = 40
    vertices: list[float] = []
    for radius, height in profile:
        for side in range(sides):
            angle = 2.0 * math.pi * side / sides
            vertices += [radius * math.cos(angle), radius * math.sin(angle), height]
    faces: list[int] = []
    for ring in range(len(profile) - 1):
        for side in range(sides):
            lower, upper = ring * sides + side, (ring + 1) * sides + side
            lower_next, upper_next = ring * sides + (side + 1) % sides, (ring + 1) * sides + (side + 1) % sides
            if profile[ring][0] > 0.0:
                faces += [lower, upper, lower_next]
            if profile[ring + 1][0] > 0.0:
                faces += [lower_next, upper, upper_next]
    mesh = spec.add_mesh(name="bowl", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
    mesh.uservert, mesh.userface = vertices, faces


def _add_bowl(spec: Any, name: str, colour: tuple[float, float, float]) -> None:
    """Add one free bowl: drawn as a mesh, touched as a bottom and a ring of slanted walls."""
    body = spec.worldbody.add_body(name=f"{name}_bowl", pos=[0.0, 0.0, -2.0])
    body.add_freejoint(name=f"{name}_bowl")
    body.explicitinertial = True
    body.mass = BOWL_MASS
    body.ipos = [0.0, 0.0, 0.015]
    body.inertia = [3.0e-4, 3.0e-4, 5.0e-4]
    body.add_geom(
        name=f"{name}_bowl",
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname="bowl",
        material="bowl",
        rgba=[*colour, 1.0],
        group=VISIBLE_GROUP,
        contype=0,
        conaffinity=0,
    )
    solid = {"group": COLLISION_GROUP, "rgba": [0.5, 0.5, 0.5, 1.0], "friction": [0.9, 0.01, 0.001]}
    body.add_geom(
        name=f"{name}_bowl_bottom",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[0.040, BOWL_FLOOR / 2, 0.0],
        pos=[0.0, 0.0, BOWL_FLOOR / 2],
        **solid,
    )
    outer = BOWL_DIAMETER / 2
    low, high = np.array([0.041, 0.004]), np.array([outer - 0.002, BOWL_HEIGHT - 0.002])
    slant = math.atan2(high[0] - low[0], high[1] - low[1])
    middle, length = (low + high) / 2, float(np.linalg.norm(high - low))
    for side in range(BOWL_SIDES):
        angle = 2.0 * math.pi * side / BOWL_SIDES
        quaternion = np.empty(4)
        mujoco.mju_euler2Quat(quaternion, np.array([angle, slant, 0.0]), "zyx")
        body.add_geom(
            name=f"{name}_bowl_wall{side}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[0.002, math.pi * outer / BOWL_SIDES, length / 2],
            pos=[middle[0] * math.cos(angle), middle[0] * math.sin(angle), middle[1]],
            quat=quaternion,
            **solid,
        )
