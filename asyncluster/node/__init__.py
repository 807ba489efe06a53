"""The node daemon: the only one on a node that talks to the network, and keeper of its workers."""
