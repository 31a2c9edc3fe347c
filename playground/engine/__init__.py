"""Decides what happens next to every instance: who gets a worker, what is committed, when to try again."""
