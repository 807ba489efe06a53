"""For tests, ours and those of people who extend AsynCluster: real daemons, real hosts in namespaces."""
