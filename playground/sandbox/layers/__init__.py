"""The layers of confinement, one file each, and the system calls that they are made with."""
