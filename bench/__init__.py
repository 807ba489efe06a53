"""Measures AsynCluster and its rivals side by side: `python -m bench` (see README.md)."""
