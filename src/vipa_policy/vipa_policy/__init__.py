"""VIPA: words and RGB-D in, base-frame motion out."""
