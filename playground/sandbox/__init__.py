"""Isolation of tenant code: a fork server in layers of confinement, and children parked ahead of need.

The trusted side starts at `pool.Sandbox`. `INSIDE` in `layers/visible_files.py` lists the few files of this room that
tenant code could read.
"""
