"""What trains in which stage: the single place for the paper's table (section 3.3 and 4.1), and for its silences.

    stage   trains
    1       fusion with its alpha
    2       fusion, projector, language model with its embeddings (new tokens are among them)
    3       language model with its embeddings, action queries, action head, pointing where there is one
    full    everything but a spatial encoder that is configured as frozen; for checkpoints without a pretrained start

Both encoders are frozen in stages 1 to 3. The paper is silent about the projector in stages 2 and 3, and contradicts
itself about the fusion in stage 3 (section 3.3: "only LLM and action head"; 4.1 only says that the encoders are
frozen): ``StagePlan`` has an option for each, and one for a spatial encoder that, unlike the paper's CUT3R, has no
pretraining of its own. With LoRA, adapters stand for the language model, and of the embeddings
only the new tokens train, in stage 2. Guarded by tests/unit/test_stages.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from vipa_policy.errors import TrainingError
from vipa_policy.model import lora
from vipa_policy.model.lora import LoraSettings
from vipa_policy.model.network import VipaNetwork

STAGES = ("1", "2", "3", "full")
ENCODERS = ("vision_tower", "spatial")
ACTION = ("action_queries", "action_head", "pointing")
LANGUAGE = ("language_model", "embeddings")
# Where a parameter belongs, by the beginning of its name; the first that fits. The rest is the action head.
PREFIXES = (
    ("vision_tower", "semantic.internvl.model.vision_tower."),
    ("projector", "semantic.internvl.model.multi_modal_projector."),
    ("embeddings", "semantic.internvl.model.language_model.embed_tokens."),
    ("embeddings", "semantic.internvl.lm_head."),
    ("language_model", "semantic.internvl.model.language_model."),
    ("spatial", "spatial."),
    ("fusion", "fusion."),
    ("action_queries", "queries"),
    ("pointing", "pointing."),
)


@dataclass(frozen=True)
class StagePlan:
    """A stage, and the choices that the paper leaves.

    Attributes:
        stage: "1", "2", "3" or "full".
        projector: whether the projector trains; None takes ours: in stage 2, where the features change, and not in 3.
        fusion: whether the fusion trains in stage 3; None takes section 3.3: it does not.
        spatial: whether the spatial encoder trains in stages 1 to 3; None takes the paper's: it does not. The pointmap
            encoder has to have learned somewhere: in "full", or here.
        lora: adapters on the language model in stages 2 and 3; None trains it whole.

    Raises:
        TrainingError: a stage that there is not, or an option that the stage does not have.
    """

    stage: str = "full"
    projector: bool | None = None
    fusion: bool | None = None
    spatial: bool | None = None
    lora: LoraSettings | None = None

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise TrainingError(f"expected a stage ({', '.join(STAGES)}), got {self.stage!r}")
        allowed = {"projector": ("2", "3"), "fusion": ("3",), "spatial": ("1", "2", "3"), "lora": ("2", "3")}
        for name, stages in allowed.items():
            if getattr(self, name) is not None and self.stage not in stages:
                raise TrainingError(
                    f"expected the option {name!r} in stage {' or '.join(stages)} only, got it in {self.stage!r}; "
                    "leave it out"
                )

    def trained(self) -> frozenset[str]:
        """Return the groups that train, of all that there may be; "full" names no frozen encoder, see ``prepare``."""
        adapted = self.lora is not None
        language = {"lora"} if adapted else set(LANGUAGE)
        groups = {
            "1": {"fusion"},
            "2": {"fusion", *language} | ({"new_tokens"} if adapted else set()),
            "3": {*language, *ACTION},
            "full": {*ENCODERS, "projector", "fusion", *LANGUAGE, *ACTION},
        }[self.stage]
        projector = self.stage == "2" if self.projector is None else self.projector
        options = {"projector": projector, "fusion": self.fusion, "spatial": self.spatial}
        return frozenset(groups | {name for name, chosen in options.items() if chosen})


def group_of(name: str) -> str:
    """Return the group that a parameter of a network belongs to, by its name."""
    if ".lora_" in name:
        return "lora"
    if name.endswith(".rows"):
        return "new_tokens"
    return next((group for group, prefix in PREFIXES if name.startswith(prefix)), "action_head")


def trainable(network: VipaNetwork) -> dict[str, nn.Parameter]:
    """Return the parameters that train, by name; shared ones once."""
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


def trainable_groups(network: VipaNetwork) -> dict[str, int]:
    """Return the number of trainable parameters in every group that has one."""
    counts: dict[str, int] = {}
    for name, parameter in trainable(network).items():
        counts[group_of(name)] = counts.get(group_of(name), 0) + parameter.numel()
    return counts


def prepare(network: VipaNetwork, plan: StagePlan, new_tokens: Sequence[int] = ()) -> None:
    """Freeze and open parameters as a stage wants it, put adapters in, and set the modes; in place.

    Args:
        network: plain, as it was loaded or built.
        plan: the stage.
        new_tokens: ids whose rows train in stage 2 although LoRA freezes the embeddings (motion tokens).

    Raises:
        TrainingError: the network has not what the stage trains.
    """
    if plan.stage == "full":
        # What an encoder has frozen of itself (a pretrained part of it) stays frozen.
        if network.spatial is not None and network.config.spatial.frozen:
            network.spatial.requires_grad_(False)
        set_modes(network)
        return
    if plan.stage in ("1", "2") and network.fusion is None:
        raise TrainingError(
            f"expected a network with a fusion for stage {plan.stage}, got one without a spatial encoder "
            "(spatial.kind 'none'); its ablation starts at stage 3"
        )
    network.requires_grad_(False)
    if plan.lora is not None:
        lora.inject(network, plan.lora)
        if plan.stage == "2" and new_tokens:
            lora.extend(network, new_tokens)
    groups = plan.trained()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(group_of(name) in groups)
    set_modes(network)


def set_modes(network: VipaNetwork) -> None:
    """Put what trains into training mode and what is frozen into evaluation mode: no dropout in a frozen part.

    To be called again after every ``eval()``, instead of ``train()``.
    """
    network.train()
    quieten(network)
    # transformers checkpoints a layer's gradients in training mode only. A frozen language model, which gradients pass
    # on their way to the fusion, is let through by the layer's own flag; what is inside it stays in evaluation mode.
    for module in network.semantic.internvl.model.language_model.modules():
        if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing:
            module.training = True


def quieten(module: nn.Module) -> None:
    """Put every part of which nothing trains into evaluation mode."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        quieten(child)


def checkpoint_gradients(network: VipaNetwork) -> None:
    """Keep the activations at the layers' borders alone and compute the others anew on the way back; in place.

    A third more time for a language model's activations of one layer instead of all. Call it before ``set_modes`` or
    ``prepare``.
    """
    internvl = network.semantic.internvl
    # transformers 5.2x gave it another name.
    enable = getattr(internvl, "activation_checkpointing_enable", None) or internvl.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    set_modes(network)


def store_frozen(network: VipaNetwork, dtype: torch.dtype) -> None:
    """Keep the matrices that do not train in another type, in place; to be computed with under autocast.

    Norms stay in float32: they are small, and not every device normalises mixed types.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
            for parameter in module.parameters(recurse=False):
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(dtype)
