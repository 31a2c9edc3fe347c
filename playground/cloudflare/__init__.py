"""Workflows as projects for Cloudflare: the folder that `wrangler` deploys, and back from such a folder.

Nothing here reads Python: what must be known of the code is found in the sandbox (analysis/rules/only_here.py).
"""
