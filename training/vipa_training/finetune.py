"""Command line of ``training/finetune.py``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vipa_policy.errors import VipaError
from vipa_training.train import Trainer, TrainingConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Train to the end (0), to Ctrl-C with everything saved (130), or say why it cannot be done (2)."""
    parser = argparse.ArgumentParser(description="Train a VIPA policy. Ctrl-C saves; the same command continues.")
    parser.add_argument("--config", type=Path, required=True, help="YAML file, for example training/configs/cell.yaml")
    parser.add_argument("--fresh", action="store_true", help="begin anew even where the run has a saved state")
    options = parser.parse_args(arguments)
    try:
        trainer = Trainer(TrainingConfig.read(options.config))
        if options.fresh:
            trainer.state_file.unlink(missing_ok=True)
        if trainer.resume():
            print(f"continuing at step {trainer.step} of {trainer.config.steps}", file=sys.stderr)
        finished = trainer.run()
    except (VipaError, OSError) as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 2
    if not finished:
        print(f"stopped and saved at step {trainer.step}; the same command continues there", file=sys.stderr)
        return 130
    print(f"wrote {trainer.config.output} after {trainer.step} steps, {trainer.seconds / 60:.0f} min")
    print(f"losses: {trainer.folder / 'losses.png'}")
    return 0
