"""Decides what happens next to every instance: who gets a worker, what is committed, when to try again."""

from playground.engine.creation import CreateInstance
from playground.engine.engine import Engine

__all__ = ["CreateInstance", "Engine"]
