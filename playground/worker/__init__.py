"""The code that runs in a worker process with the tenant's: standard library only, and not trusted."""
