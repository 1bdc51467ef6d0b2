"""Fast inference: what a robot runs, where vipa_policy.model.network is what training runs."""

from vipa_policy.model.engine.engine import EngineOptions, InferenceEngine
from vipa_policy.model.engine.sampling import FlowSampler, Steer

__all__ = ["EngineOptions", "FlowSampler", "InferenceEngine", "Steer"]
