"""What every spatial encoder takes and returns (the paper's is a frozen CUT3R, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vipa_policy.model.inputs import NetworkInput


@dataclass(frozen=True)
class FineFeatures:
    """Features finer than tokens, for pointing; views flattened into the token axis.

    Attributes:
        features: (B, M, fine_width) at stride 4.
        mask: (B, M) bool, False where no depth was valid under the feature.
        anchors: (B, M, 3) m, reference optical frame.
    """

    features: Tensor
    mask: Tensor
    anchors: Tensor


@dataclass(frozen=True)
class SpatialTokens:
    """Output of a spatial encoder, for B observations, views flattened into the token axis.

    Attributes:
        tokens: (B, N, width).
        mask: (B, N) bool, False where a token says nothing about where things are.
        anchors: (B, N, 3) m, reference optical frame: a surface point of each token's patch, 0 where there is none.
        fine: features for pointing, None where the encoder has none.
    """

    tokens: Tensor
    mask: Tensor
    anchors: Tensor
    fine: FineFeatures | None = None

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the parts by name, as a cache keeps them."""
        parts = {"tokens": self.tokens, "mask": self.mask, "anchors": self.anchors}
        if self.fine is not None:
            parts |= {
                "fine_features": self.fine.features, "fine_mask": self.fine.mask, "fine_anchors": self.fine.anchors,
            }  # fmt: skip
        return parts

    @classmethod
    def from_tensors(cls, parts: Mapping[str, Tensor]) -> SpatialTokens:
        """Undo ``to_tensors``."""
        fine = None
        if "fine_features" in parts:
            fine = FineFeatures(parts["fine_features"], parts["fine_mask"], parts["fine_anchors"])
        return cls(parts["tokens"], parts["mask"], parts["anchors"], fine)


class SpatialEncoder(nn.Module):
    """From RGB, metric depth or none, and intrinsics, per view, to tokens that know where they are.

    An encoder of which a part never trains computes that part in ``frozen_features``, so that training can read it
    from disk (vipa_policy.model.spatial.cache): ``forward`` takes ``inputs.frozen`` where it is given.
    """

    needs_depth = True  # whether the cameras have to measure depth

    def forward(self, inputs: NetworkInput) -> SpatialTokens:
        """Encode all views of a batch."""
        raise NotImplementedError

    def frozen_features(self, inputs: NetworkInput) -> dict[str, Tensor]:
        """Return what the part that never trains computes, each (B, ...); empty where everything trains."""
        return {}

    def frozen_weights(self) -> dict[str, Tensor]:
        """Return the weights that ``frozen_features`` depends on; empty where everything trains."""
        return {}

    def frozen_choices(self) -> dict[str, Any]:
        """Return, as plain JSON types, what else ``frozen_features`` depends on."""
        return {}
