"""Names of environment variables by which a service finds the descriptors that its starter left it.

Both sides need them: who starts services (`personal`) and the services themselves.
"""

from __future__ import annotations

LISTEN_FD = "ASYNCLUSTER_LISTEN_FD"
"""The master takes this descriptor, which listens already, instead of opening `tcp port` itself."""

LIFELINE_FD = "ASYNCLUSTER_LIFELINE_FD"
"""A service that finds this ends as soon as reading from this descriptor gives end of file."""
