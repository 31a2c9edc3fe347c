"""Decides what happens next to every instance: who gets a worker, what is committed, when to try again."""

from playground.engine.engine import CreateInstance, Engine

__all__ = ["CreateInstance", "Engine"]
