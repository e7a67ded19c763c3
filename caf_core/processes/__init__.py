"""Everything that starts, forks, watches and kills processes."""
