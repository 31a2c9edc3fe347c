# `workers.workflows`: the same names as `workers`, as in Cloudflare's SDK, which has NonRetryableError here.
from workers import *  # noqa: F403
