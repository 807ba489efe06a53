"""Nodes from a real Slurm, from nothing: ours, dask-jobqueue's adapt() and Parsl's SlurmProvider, in turns.

`python -m bench.batch`; see bench/README.md.
"""
