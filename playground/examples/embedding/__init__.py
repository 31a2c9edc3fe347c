"""Programs that embed the engine, to be copied.

Each is a file that runs by itself; tests/test_dispatch_embedding.py runs them.
"""
