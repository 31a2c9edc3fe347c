"""Packages that tenants' code may import: a locked set, named by the operator (`--packages requirements.txt`).

`requirements.py` reads the file and refuses what is not locked, `installation.py` installs it once. The sandbox binds
the installed folder read-only; what of it is imported before a fork is decided by `sandbox/preload.py`.
"""
