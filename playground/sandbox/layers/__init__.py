"""The layers of confinement, one file each, and `linux.py` with the system calls that they use."""
