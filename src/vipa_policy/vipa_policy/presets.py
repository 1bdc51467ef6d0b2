"""Action contracts that come with VIPA. Imports neither torch nor ROS, so that any node may ask for them."""

from __future__ import annotations

from vipa_policy.contract import ActionContract, CameraSpec, ProprioceptionField

FRANKA_TIP_FRAME = "fr3_hand_tcp"
OPTICAL = "camera optical frame at capture"


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
        proprioception=(
            ProprioceptionField("tip_position", 3, OPTICAL, "m"),
            ProprioceptionField("tip_rotation_6d", 6, OPTICAL, "1"),
            ProprioceptionField("gripper_width", 1, "", "m"),
        ),
    )
