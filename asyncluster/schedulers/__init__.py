"""Whose queue is served: adapters for batch systems.

Each scheduler is three modules: `commands` (pure: argument lists), `parse` (pure: output to model values) and
`adapter` (runs the ones, gives the others).  `run` is the only place that starts programs.
"""
