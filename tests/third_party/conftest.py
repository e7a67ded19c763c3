"""What lies here is a stranger's: ``tests/packaging/test_third_party.py`` builds, installs and tests it."""

collect_ignore = ["caf_example"]
