"""The commands; each module has `add_arguments(parser)`."""
