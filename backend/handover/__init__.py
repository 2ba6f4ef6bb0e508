"""Handover: human-in-the-loop distillation for Label Studio."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("label-studio-handover")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
