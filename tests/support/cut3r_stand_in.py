"""A stand-in for CUT3R: the names, arguments and shapes that its repository publishes, and none of its code.

``ARCroco3DStereo(ARCroco3DStereoConfig(**sizes))``, ``forward_recurrent(views, device)`` returning results and views,
``dec_norm`` called once for each view on its 1 + (H / 16) * (W / 16) tokens of 768. It remembers the views before, as
the recurrent state does, and sees a plane through a pinhole of its own guess, in its own unit.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

UNIT = 0.4  # metres in one unit of its depth
PLANE = 0.7  # m


class ARCroco3DStereoConfig:
    """Takes what the published configuration takes."""

    def __init__(self, **sizes: Any) -> None:
        self.sizes = sizes


class ARCroco3DStereo(nn.Module):
    """Patches of 16, a camera token, a state that every view changes."""

    def __init__(self, config: ARCroco3DStereoConfig) -> None:
        super().__init__()
        width = config.sizes["dec_embed_dim"]
        self.patch_embed = nn.Conv2d(3, width, 16, 16)
        self.pose_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.dec_norm = nn.LayerNorm(width)
        self.calls: list[list[dict[str, Any]]] = []

    def forward_recurrent(self, views: list[dict[str, Any]], device: torch.device) -> tuple[list[Any], list[Any]]:
        """Return what the published method returns without ``ret_state``."""
        self.calls.append(views)
        state = torch.zeros_like(self.pose_token[:, :1])
        results = []
        for view in views:
            image = view["img"]
            assert image.shape[1:] == (3, *view["true_shape"][0].tolist())
            assert view["img_mask"].all()
            assert not (view["ray_mask"] | view["reset"]).any()
            patches = self.patch_embed(image).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.pose_token.expand(len(image), -1, -1), patches], dim=1)
            tokens = self.dec_norm(tokens + state)
            state = tokens.mean(dim=1, keepdim=True)
            results.append({"pts3d_in_self_view": self.points(image), "conf_self": torch.ones_like(image[:, 0])})
        return results, views

    @staticmethod
    def points(image: Tensor) -> Tensor:
        """Return (B, H, W, 3): a plane across the axis, through a focal length nobody told it."""
        batch, _, height, width = image.shape
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        rays = torch.stack([(columns - width / 2) / width, (rows - height / 2) / width, torch.ones_like(rows)], dim=-1)
        return (PLANE / UNIT * rays).expand(batch, -1, -1, -1)


def module() -> ModuleType:
    """Return the module ``dust3r.model`` of an installed CUT3R."""
    made = ModuleType("dust3r.model")
    vars(made).update(ARCroco3DStereo=ARCroco3DStereo, ARCroco3DStereoConfig=ARCroco3DStereoConfig)
    return made
