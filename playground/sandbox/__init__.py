"""Isolation of tenant code: a fork server (zygote) in layers of confinement, and a pool of pre-forked, locked workers.

The trusted side starts at `pool.Sandbox`. `INSIDE` in `layers/visible_files.py` lists the files of this room that are
loaded inside the sandbox, and that tenant code could read.
"""
