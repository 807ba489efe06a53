"""Who may use a workstation, when and for how long; and what is charged.

Values in, values out: no clock (instants and steady seconds come as arguments), no database, no password of anybody's
kept.  The store keeps accounts, the master asks.
"""
