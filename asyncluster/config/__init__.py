"""The configuration file asyncluster.conf: its shape, its faults, its reference page.

`load.py` is the way in; importing this package itself costs nothing.
"""
