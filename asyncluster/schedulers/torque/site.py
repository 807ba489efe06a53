"""Which of Torque's and Maui's programs are here, and where: the defaults of a manual are not every site's."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import PurePath

import attrs

from asyncluster.errors import ConfigError
from asyncluster.schedulers.template import Template, read_commands
from asyncluster.schedulers.torque.commands import Commands

MAUI = ("check_node", "setres", "showres", "releaseres")
"""The commands without which Maui cannot keep a node for a queue or an account."""

Which = Callable[[str], str | None]
"""Where a program is, None = nowhere; a path stands for itself."""


@attrs.frozen
class Here:
    """What a site has.  lost: Maui's programs that are not there; note: what is not where it was said to be."""

    commands: Commands
    lost: tuple[str, ...] = ()
    note: str = ""

    @property
    def maui(self) -> bool:
        """Whether Maui's programs are there; raises ConfigError where only some of them are."""
        if not self.lost or len(self.lost) == len(MAUI):
            return not self.lost
        raise ConfigError(
            f"[cluster] config: of Maui's programs {', '.join(self.lost)} cannot be found, and the others can; name "
            f"their paths ({', '.join(f'{name}_command' for name in MAUI)}), or install none where Maui is not used"
        )


def look(settings: Mapping[str, str], which: Which = shutil.which) -> Here:
    """The commands of a configuration, as far as they are here.

    A program that is not at its path is looked for beside `qstat` and on the PATH; one that the configuration does not
    name is looked for beside `qstat` first.  Raises ConfigError for a command that makes no sense.
    """
    try:
        commands = read_commands(Commands, settings, "torque")
    except ValueError as error:
        raise ConfigError(f"[cluster] config: {error}") from error
    named = {key.removesuffix("_command") for key in settings}
    folder = PurePath(_find(commands.qstat.words[0], which) or commands.qstat.words[0]).parent
    moved: dict[str, str] = {}
    found: dict[str, Template] = {}
    for field in attrs.fields(Commands):
        given: Template = getattr(commands, field.name)
        program = given.words[0]
        beside = str(folder / PurePath(program).name)
        places = (program, beside) if field.name in named else (beside, program)
        place = next(filter(None, (which(one) for one in places)), None) or _find(program, which)
        if place is None:
            continue
        if field.name in named and "/" in program and place != program:
            moved[program] = place
        found[field.name] = given.at(place)
    lost = tuple(getattr(commands, name).words[0] for name in MAUI if name not in found)
    note = ", ".join(f"{place} for {program}" for program, place in moved.items())
    return Here(attrs.evolve(commands, **found), lost, f"programs that are elsewhere are used: {note}" if note else "")


def _find(program: str, which: Which) -> str | None:
    """Where it is: at its path, or else what is called so on the PATH."""
    return which(program) or which(PurePath(program).name)
