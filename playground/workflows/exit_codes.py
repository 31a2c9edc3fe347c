"""What the code that a worker exits with says. A tenant can leave with the same code,
which ends its own instance only.
"""

OUT_OF_MEMORY = 77  # the worker could not go on serving: the tenant's code holds all the memory there is
