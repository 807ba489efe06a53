"""A stand-in for Torque and Maui, of which no package exists: their programs, over one file that is the server.

What the programs print, and the exit codes that mislead, are those that were recorded from a real Torque 6: a job that
no node could run now is refused, marking an unknown node offline is no fault, deleting a busy node blocks.  Time
passes whenever somebody asks.  Whatever was recorded can also be replayed as it is.  Maui's programs, and `qrerun`,
follow their manuals; they were never recorded.

`install` writes executables to a folder, for a PATH.  Uses the standard library alone: the programs start often.
"""
