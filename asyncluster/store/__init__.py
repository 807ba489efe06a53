"""One database for what the master must not forget; the journal of its jobs is the first to live in it.

SQLite by default, PostgreSQL by URL.  Nobody above knows which: they meet `journal.Journal` and the values
of `records`.
"""
