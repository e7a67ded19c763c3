"""Reading an output directory without changing it: what ``caf status``, ``why`` and ``debug`` show.

Every reader opens the checkpoint, fetches, and closes it at once, so that it never stands in the controller's
way.
"""
