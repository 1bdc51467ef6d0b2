"""The network's own weights, folded for one observation at a time on a processor."""

from vipa_policy.model.engine.fused.network import FusedNetwork, why_not

__all__ = ["FusedNetwork", "why_not"]
