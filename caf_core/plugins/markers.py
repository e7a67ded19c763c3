"""The two markers of caf's hook name space; plugins say ``from caf_core import hookimpl``."""

import pluggy

hookspec = pluggy.HookspecMarker("caf")
"""Marks a specification, in ``caf_core.plugins.hooks`` only."""

hookimpl = pluggy.HookimplMarker("caf")
"""Marks a plugin's implementation of a hook."""
