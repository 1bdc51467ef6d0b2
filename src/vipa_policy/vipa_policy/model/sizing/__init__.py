"""Sizing on paper: parameters, tokens, FLOPs, memory and a roofline of a configuration, without its weights."""
