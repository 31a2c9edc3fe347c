"""A deterministic simulator: several nodes of the real engine over one store, in one thread, from one seed."""
