"""Nodes as work needs them: what waits (a scheduler) meets what can provide nodes (clouds), and a pure plan decides.

`engine.Engine` is the service; `plan.plan` the decision; `desk.Desk` keeps the book between the two.  All but `engine`,
`runner` and `hooks` are pure: time arrives as an argument.
"""
