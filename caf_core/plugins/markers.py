"""The two markers of caf's hook name space; ``from caf_core import hookspec, hookimpl`` is the way in for plugins."""

import pluggy

hookspec = pluggy.HookspecMarker("caf")
"""Marks a specification, in ``caf_core.plugins.hooks`` only."""

hookimpl = pluggy.HookimplMarker("caf")
"""Marks a plugin's implementation of a hook."""
