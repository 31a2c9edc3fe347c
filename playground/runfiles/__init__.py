"""Runs outside of a server: as a file that is read anywhere (`format.py`), and as a test that pins what one did."""
