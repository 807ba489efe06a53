"""Commands that take words of others, a program's or a function's: slips in our own options, which stand first."""

from __future__ import annotations

import click


class Leading(click.Command):
    """What looks like an option before the first other word has to be one; what comes behind it may be anything."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does.  Raises click.NoSuchOption, with what is like it."""
        parser = self.make_parser(ctx)
        parser.ignore_unknown_options = parser.allow_interspersed_args = False
        parser.parse_args(args=list(args))
        return super().parse_args(ctx, args)
