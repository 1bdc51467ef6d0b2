"""Helpers shared by the tests; see tests/conftest.py for the fixtures built from them."""
