"""Slurm, 20.11 or newer."""
