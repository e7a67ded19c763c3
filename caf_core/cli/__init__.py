"""The command line: ``caf COMMAND``.

This package imports nothing, so that every command pays only for what it uses: ``app`` knows the names of the
commands and imports the module of the one that was asked for.
"""


def main() -> int:
    """Execute the command line of this process.

    Returns:
        The exit code (see ``caf_core.cli.exits``).
    """
    from caf_core.cli.app import execute, prepare_streams
    from caf_core.cli.exits import Exit

    code: int = Exit.INTERRUPTED
    prepare_streams()
    try:
        code = execute()
    except KeyboardInterrupt:  # one more, while the first was answered
        pass
    finally:
        if code == Exit.INTERRUPTED:
            import signal

            # What has stopped has nothing left to stop, and no interpreter that ends shall show a traceback.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code
