"""What every spatial encoder takes and returns (the paper's is a frozen CUT3R, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

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


class SpatialEncoder(nn.Module):
    """From RGB, metric depth or none, and intrinsics, per view, to tokens that know where they are."""

    needs_depth = True  # whether the cameras have to measure depth

    def forward(self, inputs: NetworkInput) -> SpatialTokens:
        """Encode all views of a batch."""
        raise NotImplementedError
