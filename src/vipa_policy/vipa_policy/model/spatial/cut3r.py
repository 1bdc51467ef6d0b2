"""Spatial encoder "cut3r": a CUT3R that the user installed, as in the paper (section 3.1). Nothing of it is in here.

CUT3R (Wang et al. 2025, "Continuous 3D Perception Model with Persistent State") is CC BY-NC-SA 4.0. This adapter
calls its published interface (``dust3r.model`` of its repository): views go through ``forward_recurrent`` one after
another, from a fresh state for every observation; the tokens are the last decoder layer's after its norm, one of the
camera and one for each patch of 16 pixels, as VLM-3R takes them. Guarded by tests/unit/test_spatial_cut3r.py against a
stand-in with the published shapes.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from vipa_policy.errors import CheckpointError
from vipa_policy.model import weights
from vipa_policy.model.config import SpatialConfig
from vipa_policy.model.inputs import NetworkInput, back_project
from vipa_policy.model.preparation import MEAN, STANDARD_DEVIATION
from vipa_policy.model.spatial.calibration import metric_scale
from vipa_policy.model.spatial.interface import SpatialEncoder, SpatialTokens
from vipa_policy.model.spatial.patches import patch_anchors
from vipa_policy.model.spatial.pretrained import Pretrained, pretrained_folder

PATCH = 16
WIDTH = 768  # of the published decoder
MODULES = ("dust3r.model", "src.dust3r.model")  # with CUT3R/src on the path, and with CUT3R itself
SIZES_FILE = "cut3r.json"  # beside the weights: what differs from PUBLISHED
# Of cut3r_512_dpt_4_64, as config/dpt_512_vary_4_64.yaml of CUT3R has it.
PUBLISHED: dict[str, Any] = {
    "state_size": 768, "state_pe": "2d", "pos_embed": "RoPE100", "rgb_head": True, "pose_head": True,
    "img_size": (512, 512), "head_type": "dpt", "output_mode": "pts3d+pose",
    "depth_mode": ("exp", -float("inf"), float("inf")), "conf_mode": ("exp", 1, float("inf")),
    "pose_mode": ("exp", -float("inf"), float("inf")), "enc_embed_dim": 1024, "enc_depth": 24, "enc_num_heads": 16,
    "dec_embed_dim": WIDTH, "dec_depth": 12, "dec_num_heads": 12, "landscape_only": False,
}  # fmt: skip


def import_cut3r() -> ModuleType:
    """Return CUT3R's model module; raises CheckpointError saying how to install it."""
    problems = []
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            problems.append(f"{name}: {error}")
            continue
        if hasattr(module, "ARCroco3DStereo"):
            return module
        problems.append(f"{name} has no ARCroco3DStereo: it is DUSt3R's or another package of that name")
    raise CheckpointError(
        f"expected CUT3R to be installed for spatial.kind 'cut3r', got {'; '.join(problems)}; clone it, put its src "
        "folder on PYTHONPATH and mind its licence (docs/spatial.md)"
    )


def load_cut3r(folder: Path) -> nn.Module:
    """Return the CUT3R whose weights are in a folder; raises CheckpointError where they do not fit or are a pickle."""
    state = weights.read(folder)
    sizes = dict(PUBLISHED)
    if (folder / SIZES_FILE).is_file():
        try:
            sizes |= json.loads((folder / SIZES_FILE).read_text())
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{folder / SIZES_FILE} is no JSON object ({error}); see docs/spatial.md") from error
    module = import_cut3r()
    try:
        network: nn.Module = module.ARCroco3DStereo(module.ARCroco3DStereoConfig(**sizes))
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise CheckpointError(f"the sizes in {folder / SIZES_FILE} describe no CUT3R: {error}") from error
    weights.fill(network, state, str(folder))
    return network


class Cut3rEncoder(SpatialEncoder):
    """Frozen CUT3R: decoder tokens for the fusion, its depth along the live rays for their anchors."""

    needs_depth = False

    def __init__(self, config: SpatialConfig) -> None:
        super().__init__()
        if config.width != WIDTH or config.image_size % PATCH:
            raise CheckpointError(
                f"expected spatial.width {WIDTH} and a spatial.image_size that {PATCH} divides for spatial.kind "
                f"'cut3r', got {config.width} and {config.image_size}; set both"
            )
        self.config = config
        self.cut3r = Pretrained(load_cut3r(pretrained_folder(config, "CUT3R's weights")), config.pretrained)

    def forward(self, inputs: NetworkInput) -> SpatialTokens:
        """Encode all views."""
        tokens = SpatialTokens.from_tensors(self.frozen_features(inputs) if inputs.frozen is None else inputs.frozen)
        return SpatialTokens(tokens.tokens.to(inputs.colours.dtype), tokens.mask, tokens.anchors)

    @torch.no_grad()
    def frozen_features(self, inputs: NetworkInput) -> dict[str, Tensor]:
        """Return the tokens (float16, which is what a cache stores), their mask and their anchors.

        Anchors take the depth of ``pts3d_in_self_view`` along the camera's own rays: CUT3R guesses the focal length
        that CameraInfo tells. One scale for all views of an observation, by the measured depth and the known points
        where there are any, else CUT3R's own. A camera's token is anchored at that camera.
        """
        tokens, depth = self.rollout(inputs)
        scale = metric_scale(depth, inputs, together=True).nan_to_num(nan=1.0)
        points, valid = back_project(depth * scale, inputs.rays, inputs.reference_from_camera)
        anchors, mask = patch_anchors(points.flatten(0, 1), valid.flatten(0, 1), PATCH)
        cameras = inputs.reference_from_camera[..., None, :3, 3]
        anchors = torch.cat([cameras, anchors.unflatten(0, depth.shape[:2])], dim=2)
        mask = torch.cat([mask.new_ones(*depth.shape[:2], 1), mask.unflatten(0, depth.shape[:2])], dim=2)
        return SpatialTokens(tokens.flatten(1, 2).half(), mask.flatten(1), anchors.flatten(1, 2)).to_tensors()

    def rollout(self, inputs: NetworkInput) -> tuple[Tensor, Tensor]:
        """Return decoder tokens (B, V, 1 + patches, WIDTH) and depth (B, V, S, S) in CUT3R's unit, 0 where invalid."""
        network = self.cut3r.network
        views = cut3r_views(inputs.colours)
        seen: list[Tensor] = []
        handle = network.dec_norm.register_forward_hook(lambda module, arguments, output: seen.append(output))
        try:
            with torch.autocast(inputs.colours.device.type, enabled=False):
                results = network.forward_recurrent(views, inputs.colours.device)[0]
        finally:
            handle.remove()
        size = inputs.colours.shape[-1]
        expected = (inputs.batch, 1 + (size // PATCH) ** 2, WIDTH)
        shapes = [tuple(tokens.shape) for tokens in seen]
        if shapes != [expected] * inputs.views:
            raise CheckpointError(
                f"expected {inputs.views} times decoder tokens of shape {expected} from CUT3R, got {shapes}; "
                "this is not the published model"
            )
        depth = torch.stack([result["pts3d_in_self_view"][..., 2] for result in results], dim=1).float()
        return torch.stack(seen, dim=1), torch.where(torch.isfinite(depth), depth, 0.0).clamp(min=0.0)

    def frozen_weights(self) -> dict[str, Tensor]:
        """Return CUT3R's weights."""
        return dict(self.cut3r.network.state_dict())

    def frozen_choices(self) -> dict[str, Any]:
        """Return what the tokens depend on beside the weights."""
        return {"image_size": self.config.image_size}


def cut3r_views(colours: Tensor) -> list[dict[str, Any]]:
    """Return (B, V, 3, S, S) normalised colours as CUT3R takes them: in [-1, 1], colour known, rays not, state kept."""
    mean, deviation = (colours.new_tensor(values).view(3, 1, 1) for values in (MEAN, STANDARD_DEVIATION))
    images = 2.0 * (colours.float() * deviation + mean) - 1.0
    batch, _, _, height, width = images.shape
    yes = torch.ones(batch, dtype=torch.bool, device=colours.device)
    shape = torch.tensor([[height, width]], device=colours.device).expand(batch, -1)
    return [
        {
            "img": image.contiguous(), "ray_map": image.new_full((batch, height, width, 6), torch.nan),
            "true_shape": shape, "idx": index, "instance": str(index), "img_mask": yes, "ray_mask": ~yes, "update": yes,
            "reset": ~yes,
        }
        for index, image in enumerate(images.unbind(dim=1))
    ]  # fmt: skip
