"""Fast inference: what a robot runs, where vipa_policy.model.network is what training runs."""

from vipa_policy.model.engine.engine import EngineOptions, InferenceEngine
from vipa_policy.model.engine.sampling import FlowSampler, Guide

__all__ = ["EngineOptions", "FlowSampler", "Guide", "InferenceEngine"]
