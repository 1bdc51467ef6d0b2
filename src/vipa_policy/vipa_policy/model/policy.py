"""The policy as nodes and evaluations use it: an observation and words in, a chunk out."""

from __future__ import annotations

import numpy as np
import torch

from vipa_policy import geometry
from vipa_policy.contract import ActionContract
from vipa_policy.errors import CheckpointError, ObservationError
from vipa_policy.geometry import Array
from vipa_policy.model import checkpoint as checkpoints
from vipa_policy.model.checkpoint import Checkpoint
from vipa_policy.model.embodiments import index_of
from vipa_policy.model.hub import find_folder
from vipa_policy.model.preparation import prepare_view, stack
from vipa_policy.observation import Chunk, Observation


def choose_device(device: str) -> torch.device:
    """Return the torch device of "auto", "cuda" or "cpu"; raises CheckpointError where it is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device not in ("cpu", "cuda"):
        raise CheckpointError(f"expected device 'auto', 'cuda' or 'cpu', got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise CheckpointError("device 'cuda' was asked for, but torch sees no CUDA device; use device 'auto' or 'cpu'")
    return torch.device(device)


def measured_state(camera_from_tip: Array, gripper_width: float) -> Array:
    """Return the (10,) proprioception vector: position in m, 6-D rotation, gripper width in m."""
    rotation = geometry.rotation_to_6d(camera_from_tip[:3, :3])
    return np.concatenate([camera_from_tip[:3, 3], rotation, [gripper_width]])


class VipaPolicy:
    """A loaded checkpoint on a device."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, name: str, embodiment: str = "") -> None:
        """Move a checkpoint to a device; raises EmbodimentError where it does not know the embodiment."""
        self._checkpoint = checkpoint
        index = index_of(embodiment, checkpoint.contracts)
        self._contract = checkpoint.contracts[index]
        several = len(checkpoint.contracts) > 1
        self._embodiment = torch.tensor([index], device=device) if several else None
        self._network = checkpoint.network.to(device)
        self.device = device
        self.name = name

    @property
    def contract(self) -> ActionContract:
        """What this policy's chunks mean."""
        return self._contract

    def check_instruction(self, text: str) -> None:
        """Raise InstructionError, naming the unknown words, where the policy was not trained on the instruction."""
        self._checkpoint.vocabulary.check(text)

    def predict(
        self, observation: Observation, instruction: str, *, seed: int | None = None, flow_steps: int | None = None
    ) -> Chunk:
        """Predict a chunk.

        Args:
            observation: one instant; its views in the contract's order.
            instruction: words the policy was trained on.
            seed: of the flow's initial noise; None draws a fresh one.
            flow_steps: Euler steps; None takes the checkpoint's.

        Raises:
            InstructionError: the words are outside what was trained.
            ObservationError: a view is missing, unusable or implausible, or the tip pose is not finite.
        """
        words = torch.tensor(self._checkpoint.vocabulary.encode(instruction), device=self.device)[None, None]
        self._check_views(observation)
        config = self._checkpoint.config
        views = [prepare_view(view, config.spatial.image_size) for view in observation.views]
        state = measured_state(observation.camera_from_tip, observation.gripper_width)
        if not np.all(np.isfinite(state)):
            raise ObservationError("expected a finite tip pose and gripper width, got NaN; check TF and joint states")
        generator = torch.Generator(device=self.device)
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        actions, pointed = self._network.sample(
            stack(views, config.semantic.image_size, self.device),
            words,
            torch.ones_like(words, dtype=torch.bool),
            torch.from_numpy(state.astype(np.float32))[None].to(self.device),
            flow_steps or config.head.flow_steps,
            generator,
            self._embodiment,
        )
        rows = actions[0, 0].double().cpu().numpy()
        return Chunk(
            stamp=observation.stamp,
            camera_from_tip=self._poses(rows),
            gripper=np.clip(rows[:, 9], self.contract.gripper_minimum, self.contract.gripper_maximum),
            pointed=None if pointed is None else pointed.anchor[0, 0].double().cpu().numpy(),
            pointed_confidence=0.0 if pointed is None else float(pointed.confidence[0, 0]),
            instruction=instruction,
        )

    def _check_views(self, observation: Observation) -> None:
        expected = [camera.name for camera in self.contract.cameras]
        got = [view.name for view in observation.views]
        if expected != got:
            raise ObservationError(f"expected the views {expected} in this order, got {got}")

    @staticmethod
    def _poses(rows: Array) -> Array:
        """Return (horizon, 4, 4) poses of rows (horizon, 10) in SI units."""
        poses = np.tile(np.eye(4), (len(rows), 1, 1))
        poses[:, :3, 3] = rows[:, :3]
        poses[:, :3, :3] = geometry.rotation_from_6d(rows[:, 3:9])
        return poses


def load_policy(name: str, device: str = "auto", threads: int = 0, embodiment: str = "") -> VipaPolicy:
    """Load a policy from a checkpoint folder, or from its name under the models folder.

    Args:
        name: path of a folder, a name under the models folders, or a hub id (vipa_policy.model.hub).
        device: "auto", "cuda" or "cpu".
        threads: of torch in this process; 0 leaves torch its choice. Where other processes want the processors too,
            one is fastest: a second one that has to wait for its turn holds up the first.
        embodiment: which one is to be moved; "" where the checkpoint knows only one.

    Raises:
        CheckpointError: nothing there, cut short, of a newer version, or the device is not there.
        ContractMismatch: its contract does not fit its network.
        EmbodimentError: it does not know the embodiment, or several and none was named.
    """
    if threads > 0:
        torch.set_num_threads(threads)
    folder = find_folder(name)
    return VipaPolicy(checkpoints.load(folder), choose_device(device), folder.resolve().name, embodiment)
