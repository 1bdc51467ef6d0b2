"""What an episode's description takes from its first messages: calibration, contract and seed."""

from __future__ import annotations

from typing import Any

from vipa_policy.contract import ActionContract
from vipa_policy.nodes.calibration_messages import hand_eye_facts
from vipa_policy.nodes.conversions import contract_from_message


class EpisodeFacts:
    """Gathers facts as messages come; asks for as few of them as it needs, since each has to be deserialised."""

    def __init__(self, contract: ActionContract | None) -> None:
        """Begin with the contract that is known already, if any."""
        self._contract = contract
        self._seed: int | None = None
        self._cameras: dict[str, dict[str, Any]] = {}
        self._static: dict[str, dict[str, Any]] = {}
        self._hand_eye: dict[str, dict[str, Any]] = {}

    def wants(self, role: str) -> bool:
        """Tell whether a message of this role would say something new."""
        return (
            role in ("tf_static", "calibration")
            or (role == "chunk" and self._contract is None)
            or (role == "cell_state" and self._seed is None)
            or (role.endswith("/camera_info") and role.split("/")[0] not in self._cameras)
        )

    def learn(self, role: str, message: Any) -> None:
        """Take a message. Raises ContractMismatch on a chunk whose contract contradicts itself."""
        if role == "tf_static":
            for item in message.transforms:
                self._static[item.child_frame_id] = _static_transform(item)
        elif role == "calibration":
            self._hand_eye[message.camera_frame] = hand_eye_facts(message)
        elif role == "chunk":
            self._contract = contract_from_message(message.contract)
        elif role == "cell_state":
            self._seed = int(message.seed)
        elif role.endswith("/camera_info"):
            self._cameras[role.split("/")[0]] = _intrinsics(message)

    def fields(self) -> dict[str, Any]:
        """Return what is known as fields of an EpisodeInfo."""
        calibration = {
            "cameras": dict(self._cameras),
            "static_transforms": list(self._static.values()),
            "hand_eye": list(self._hand_eye.values()),
        }
        return {"contract": self._contract, "seed": self._seed, "calibration": calibration}


def _intrinsics(info: Any) -> dict[str, Any]:
    return {
        "frame_id": info.header.frame_id,
        "width": int(info.width),
        "height": int(info.height),
        "distortion_model": info.distortion_model,
        "d": [float(value) for value in info.d],
        "k": [float(value) for value in info.k],
        "p": [float(value) for value in info.p],
    }


def _static_transform(item: Any) -> dict[str, Any]:
    translation, rotation = item.transform.translation, item.transform.rotation
    return {
        "parent": item.header.frame_id,
        "child": item.child_frame_id,
        "translation": [translation.x, translation.y, translation.z],
        "rotation": [rotation.x, rotation.y, rotation.z, rotation.w],
    }
