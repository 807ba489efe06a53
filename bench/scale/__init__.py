"""How AsynCluster does with much of something: queued tasks, nodes, kills.  `python -m bench.scale`."""
