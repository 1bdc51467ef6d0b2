#!/usr/bin/env python3
"""Draw what an episode holds: python training/inspect_episode.py EPISODE --out out/episode.png."""

from vipa_training.contact_sheet import main

if __name__ == "__main__":
    raise SystemExit(main())
