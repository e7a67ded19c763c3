"""Hook specifications, the registry of plugins, and their listing."""
