"""``caf.toml``: what holds at a site, for a user, in a project.

Whoever makes a backend for a user asks ``load_config`` and applies it; nothing else in caf reads these files.
"""
