"""The template for schedulers that are driven by commands."""
