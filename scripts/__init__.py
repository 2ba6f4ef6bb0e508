"""Scripts of the project; the shared parts are importable by the tests."""
