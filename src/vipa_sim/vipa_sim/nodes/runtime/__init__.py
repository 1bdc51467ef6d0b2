"""The processes of `make bench-runtime`: replayed camera, fake arm driver, the arm node watched, a plain pipeline."""
