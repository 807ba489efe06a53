"""The demonstration that `bin/demo` runs: the standard library, surveyed on two nodes of this machine."""
