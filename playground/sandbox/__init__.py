"""Isolation of tenant code: a fork server in layers of confinement, and children parked ahead of need.

The trusted side starts at `pool.Sandbox`. `INSIDE` in `visible.py` lists the few files of this folder that tenant code could read.
"""
