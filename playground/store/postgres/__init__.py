"""The store over PostgreSQL 14 or newer, which any number of nodes share."""
