"""Fathom: an inference server for efficient open-weight LLMs."""

from importlib.metadata import version

__version__ = version("fathom-llm")
