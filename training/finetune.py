#!/usr/bin/env python3
"""Train a policy on demonstrations: python training/finetune.py --config training/configs/cell.yaml."""

from vipa_training.finetune import main

if __name__ == "__main__":
    raise SystemExit(main())
