"""Tenants' code: where it comes from, how it is loaded, checked, deployed and changed under a living instance."""
