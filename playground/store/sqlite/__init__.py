"""The journal store in one SQLite file.

It starts at `store.SqliteStore`; the schema is `schema/`, one script per version.
"""
