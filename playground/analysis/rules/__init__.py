"""The rules of the lint, one file per concept, each with a `check(workflow)`.

What they can say is in `analysis/diagnostics.py`.
"""
