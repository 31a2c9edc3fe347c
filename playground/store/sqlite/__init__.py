"""The journal store in one SQLite file: see `store.SqliteStore`. `schema/` has one script per schema version."""
