#!/usr/bin/env python3
"""Make demonstrations in process: python training/generate.py --out data/cell/train --scenes 6000 --episodes 500."""

from vipa_training.generate import main

if __name__ == "__main__":
    raise SystemExit(main())
