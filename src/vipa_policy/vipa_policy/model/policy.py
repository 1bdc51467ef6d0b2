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
from vipa_policy.model.engine import EngineOptions, InferenceEngine
from vipa_policy.model.hub import find_folder
from vipa_policy.model.inpainting import guide
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.preparation import prepare_view, stack, upload
from vipa_policy.model.view_checks import check_views
from vipa_policy.observation import Chunk, CommittedTail, Observation


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

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        name: str,
        options: EngineOptions | None = None,
        embodiment: str = "",
    ) -> None:
        """Prepare a checkpoint's network for predictions on a device.

        Raises:
            CheckpointError: as ``InferenceEngine`` does.
            EmbodimentError: the checkpoint does not know the embodiment.
        """
        self._checkpoint = checkpoint
        index = index_of(embodiment, checkpoint.contracts)
        self._contract = checkpoint.contracts[index]
        self._engine = InferenceEngine(checkpoint.network, device, options, index)
        self._network = self._engine.network
        self._normalisation = self._network.normalisation.alone(index)
        self.device = device
        self.name = name

    @property
    def engine(self) -> InferenceEngine:
        """What runs the network."""
        return self._engine

    @property
    def contract(self) -> ActionContract:
        """What this policy's chunks mean."""
        return self._contract

    def check_instruction(self, text: str) -> None:
        """Raise InstructionError, naming the unknown words, where the policy was not trained on the instruction."""
        self._checkpoint.vocabulary.check(text)

    def predict(
        self,
        observation: Observation,
        instruction: str,
        *,
        committed: CommittedTail | None = None,
        seed: int | None = None,
        flow_steps: int | None = None,
    ) -> Chunk:
        """Predict a chunk.

        Args:
            observation: one instant; its views in the contract's order.
            instruction: words the policy was trained on.
            committed: rows that the arm still follows; the chunk begins with those it will have done by then.
            seed: of the flow's initial noise; None draws a fresh one.
            flow_steps: Euler steps; None takes the checkpoint's.

        Raises:
            InstructionError: the words are outside what was trained.
            ObservationError: a view is missing, unusable or implausible, the tip pose is not finite, or the committed
                tail is malformed.
            ContractMismatch: the committed tail was predicted under another contract.
        """
        tokens = self._checkpoint.vocabulary.encode(instruction)
        state = measured_state(observation.camera_from_tip, observation.gripper_width)
        if not np.all(np.isfinite(state)):
            raise ObservationError("expected a finite tip pose and gripper width, got NaN; check TF and joint states")
        guidance = None
        if committed is not None:
            guidance = guide(committed, observation.stamp, state, self.contract, self._normalisation)
        prediction = self._engine.predict(
            self.prepare(observation),
            tokens,
            upload(state.astype(np.float32)[None], self.device),
            self._engine.noise(seed),
            flow_steps,
            guidance,
        )
        rows = prediction.actions[0].double().cpu().numpy()
        pointed, confidence = prediction.pointed, prediction.confidence
        return Chunk(
            stamp=observation.stamp,
            camera_from_tip=self._poses(rows),
            gripper=np.clip(rows[:, 9], self.contract.gripper_minimum, self.contract.gripper_maximum),
            pointed=None if pointed is None else pointed.double().cpu().numpy(),
            pointed_confidence=0.0 if confidence is None else float(confidence),
            instruction=instruction,
        )

    def prepare(self, observation: Observation) -> NetworkInput:
        """Return the network's input of an observation, on the policy's device; errors as in ``predict``."""
        check_views([camera.name for camera in self.contract.cameras], observation.views)
        config = self._checkpoint.config
        spatial = self._network.spatial
        needs_depth = spatial is not None and spatial.needs_depth
        views = [prepare_view(view, config.spatial.image_size, needs_depth) for view in observation.views]
        return stack(views, config.semantic.image_size, self.device, observation.camera_from_tip[:3, 3])

    @staticmethod
    def _poses(rows: Array) -> Array:
        """Return (horizon, 4, 4) poses of rows (horizon, 10) in SI units."""
        poses = np.tile(np.eye(4), (len(rows), 1, 1))
        poses[:, :3, 3] = rows[:, :3]
        poses[:, :3, :3] = geometry.rotation_from_6d(rows[:, 3:9])
        return poses


def load_policy(
    name: str, device: str = "auto", threads: int = 0, options: EngineOptions | None = None, embodiment: str = ""
) -> VipaPolicy:
    """Load a policy from a checkpoint folder, or from its name under the models folder.

    Args:
        name: path of a folder, a name under the models folders, or a hub id (vipa_policy.model.hub).
        device: "auto", "cuda" or "cpu".
        threads: of torch in this process; 0 leaves torch its choice. Where other processes want the processors too,
            one is fastest: a second one that has to wait for its turn holds up the first.
        options: how the network is run; None takes the defaults.
        embodiment: which one is to be moved; "" where the checkpoint knows only one.

    Raises:
        CheckpointError: nothing there, cut short, of a newer version, or the device is not there.
        ContractMismatch: its contract does not fit its network.
        EmbodimentError: it does not know the embodiment, or several and none was named.
    """
    if threads > 0:
        torch.set_num_threads(threads)
    folder = find_folder(name)
    checkpoint = checkpoints.load(folder)
    return VipaPolicy(checkpoint, choose_device(device), folder.resolve().name, options, embodiment)
