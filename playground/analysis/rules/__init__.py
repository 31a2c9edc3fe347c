"""The rules of the lint, one file per concept. `CHECKS` in `analysis/__init__.py` lists their functions.

Their messages are in `analysis/diagnostics.py`.
"""
