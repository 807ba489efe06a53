"""The wire: how master, nodes and clients find, prove and talk to each other (docs/wire.md)."""
