"""Where nodes come from: each module is one ICloud."""
