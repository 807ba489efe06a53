"""Names of environment variables by which a service finds what its starter left it.

Both sides need them: who starts services (`personal`) and the services themselves.
"""

from __future__ import annotations

LISTEN_FD = "ASYNCLUSTER_LISTEN_FD"
"""The master takes this descriptor, which listens already, instead of opening `tcp port` itself."""

NODE_NAME = "ASYNCLUSTER_NODE_NAME"
"""What a node that was launched is called, rather than what its configuration says."""

NODE_POOL = "ASYNCLUSTER_NODE_POOL"
"""The pool that it was launched for."""

NODE_BIRTHPLACE = "ASYNCLUSTER_NODE_BIRTHPLACE"
"""What gave birth to it: "pilot" (a batch job) or "instance" (of a cloud)."""

NODE_LIFETIME = "ASYNCLUSTER_NODE_LIFETIME"
"""Seconds that it has, from `NODE_BEGAN` on: its walltime."""

NODE_BEGAN = "ASYNCLUSTER_NODE_BEGAN"
"""When that began, in seconds since the epoch by this machine's clock."""

NODE_STAGGER = "ASYNCLUSTER_NODE_STAGGER"
"""By what part of its lifetime it may end early, so that not all end at once."""

LIFELINE_FD = "ASYNCLUSTER_LIFELINE_FD"
"""A service that finds this ends as soon as reading from this descriptor gives end of file."""
