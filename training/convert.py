#!/usr/bin/env python3
"""Make a training set from recorded episodes: python training/convert.py EPISODE... --out data/cell_graph."""

from vipa_training.convert import main

if __name__ == "__main__":
    raise SystemExit(main())
