"""Action contracts that come with VIPA. Imports neither torch nor ROS, so that any node may ask for them."""

from __future__ import annotations

import dataclasses

from vipa_policy.contract import FIRST_EMBODIMENT, ActionContract, CameraSpec, HandMapping, ProprioceptionField
from vipa_policy.errors import ContractMismatch

FRANKA_TIP_FRAME = "fr3_hand_tcp"
OPTICAL = "camera optical frame at capture"
HAND_TIP_FRAME = "hand_tip"
# The tip lies between the pads of a grown-up's thumb and index, on the palm's side; axes as those of fr3_hand_tcp: z
# where the fingers point, y along which they open, out of the hand's back. The wrist frame's z is the back of a right
# hand and the palm of a left one (vipa_policy.model.embodiments). Distances are of joints, which lie inside the flesh.
HANDS = {
    "right": HandMapping((0.12, 0.02, -0.04), (0.5, 0.5, 0.5, 0.5), closed_distance=0.02, open_distance=0.10),
    "left": HandMapping((0.12, 0.02, 0.04), (-0.5, 0.5, -0.5, 0.5), closed_distance=0.02, open_distance=0.10),
}

PROPRIOCEPTION = (
    ProprioceptionField("tip_position", 3, OPTICAL, "m"),
    ProprioceptionField("tip_rotation_6d", 6, OPTICAL, "1"),
    ProprioceptionField("gripper_width", 1, "", "m"),
)


def franka_contract(cameras: tuple[str, ...] = ("scene",), image_size: int = 224) -> ActionContract:
    """Return the contract of ``vipa-tiny``: absolute tool-centre poses of a Franka with hand, 15 rows a second.

    Args:
        cameras: view names; the first is the reference.
        image_size: edge in pixels of the cropped and resized image.
    """
    return ActionContract(
        reference_camera=cameras[0],
        tip_frame=FRANKA_TIP_FRAME,
        control_period=1.0 / 15.0,
        horizon=16,
        cameras=tuple(CameraSpec(name, image_size, image_size) for name in cameras),
        proprioception=PROPRIOCEPTION,
        embodiment=FIRST_EMBODIMENT,
    )


def human_hand_contract(
    side: str = "right", cameras: tuple[str, ...] = ("scene",), image_size: int = 224, hand: HandMapping | None = None
) -> ActionContract:
    """Return the contract of a human hand that does a Franka's work: the same rows, of the point between the fingers.

    Args:
        side: "right" or "left"; each is an embodiment of its own.
        cameras: view names; the first is the reference.
        image_size: edge in pixels of the cropped and resized image.
        hand: where the tip is in the wrist frame, and how far the fingers open; None takes that of ``HANDS``.
    """
    if side not in HANDS:
        raise ContractMismatch(f"expected the side 'right' or 'left' of a human hand, got {side!r}")
    robot = franka_contract(cameras, image_size)
    return dataclasses.replace(
        robot, tip_frame=HAND_TIP_FRAME, embodiment=f"human_{side}_hand", hand=hand or HANDS[side]
    )
