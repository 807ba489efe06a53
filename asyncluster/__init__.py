"""AsynCluster: run Python on whatever machines you have."""
