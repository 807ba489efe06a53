"""How a database comes to have the tables of this release: Alembic's folder.

For a new revision copy the newest file in `versions`, give it the next number, name its predecessor in
`down_revision` and itself in `tables.REVISION`; a test compares the outcome with `asyncluster.store.tables`.
What was released is not edited.  Run by `asyncluster.store.schema` only, on the connection that it hands over.
"""
