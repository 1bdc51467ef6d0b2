"""One instant as the policy sees it: RGB, aligned metric depth, intrinsics, camera pose, proprioception.

The live node, the converter and the simulator all build this type, so training and serving cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipa_policy.contract import ActionContract
from vipa_policy.errors import ObservationError
from vipa_policy.geometry import Array


@dataclass(frozen=True)
class CameraView:
    """One camera at one stamp, uncropped, as the camera delivered it.

    Attributes:
        name: view name of the contract, for example "scene".
        rgb: (height, width, 3) uint8.
        depth: (height, width) float32, metres along the optical axis; 0 or NaN where the camera saw nothing. None from
            a camera that measures none.
        intrinsics: (3, 3) float64 pinhole matrix of this image size; pixel centres at whole numbers.
        reference_from_camera: (4, 4) from this camera's optical frame to the reference camera's, both at the stamp;
            identity for the reference camera itself.
    """

    name: str
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32] | None
    intrinsics: Array
    reference_from_camera: Array

    @property
    def measured_depth(self) -> NDArray[np.float32]:
        """The depth of an RGB-D camera; raises ObservationError where there is none."""
        if self.depth is None:
            raise ObservationError(f"{self.name}: expected metric depth with the image, got none; use an RGB-D camera")
        return self.depth


@dataclass(frozen=True)
class Observation:
    """All the policy may know at one instant.

    Attributes:
        stamp: s, of the reference image.
        views: in the contract's order; the contract names the reference.
        camera_from_tip: (4, 4), pose of the contract's tip frame in the reference camera's optical frame at the stamp.
        gripper_width: m between the fingers, measured.
    """

    stamp: float
    views: tuple[CameraView, ...]
    camera_from_tip: Array
    gripper_width: float


@dataclass(frozen=True)
class Chunk:
    """A prediction. Row i is due at ``stamp`` + (i + 1) * control_period of the contract.

    Attributes:
        stamp: s, of the reference image.
        camera_from_tip: (horizon, 4, 4), poses of the tip in the reference camera's optical frame at the stamp.
        gripper: (horizon,) m between the fingers.
        pointed: (3,) m in the same frame: where the policy believes the named thing is; None where it does not point.
        pointed_confidence: 0 to 1.
        instruction: the words it was predicted for.
    """

    stamp: float
    camera_from_tip: Array
    gripper: Array
    pointed: Array | None
    pointed_confidence: float
    instruction: str


@dataclass(frozen=True)
class CommittedTail:
    """Rows of the chunk in force that the arm has not consumed yet, as ExecutionState has them.

    Attributes:
        contract: of the policy that made the chunk.
        base_from_tip: (n, 4, 4), one per control period of the contract.
        gripper: (n,) m between the fingers.
        first_due: s, when the first of them is due in the time of the chunk to be predicted: its image's stamp and the
            plan time that the arm will go through from there to the row.
        frozen_until: s of the same time, when that chunk can be in force; rows due until then are done by then.
        camera_from_base: (4, 4), from the base frame to the reference camera's optical frame at the *new* image's
            stamp.
    """

    contract: ActionContract
    base_from_tip: Array
    gripper: Array
    first_due: float
    frozen_until: float
    camera_from_base: Array
