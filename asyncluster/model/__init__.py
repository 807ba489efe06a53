"""Plain values that travel between packages; nothing here knows a clock, a file or a socket."""
