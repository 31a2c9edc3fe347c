"""What runs inside a worker process, beside the tenant's code: standard library only, and trusted by nobody."""
