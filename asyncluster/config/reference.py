"""The reference page of asyncluster.conf, made from the models; docs/configuration.md is its output.

Make it anew after a change: python -m asyncluster.config.reference > docs/configuration.md
"""

from __future__ import annotations

from typing import Any

from asyncluster.config.base_conf import REQUIRED, SECTIONS
from asyncluster.config.explain import MAKE_PASSWORD, PLACEHOLDER
from asyncluster.units import DURATION_FORMS, LEVEL_FORMS, SIZE_FORMS

HEAD = f"""\
# Configuration: asyncluster.conf

<!-- Made by `python -m asyncluster.config.reference > docs/configuration.md`; do not edit. -->

Master, nodes and the programs that talk to them read one file. The first of these that exists:

1. the one named on the command line (`--config FILE`);
2. the one that `$ASYNCLUSTER_CONF` names;
3. `~/.config/asyncluster/asyncluster.conf` (`$XDG_CONFIG_HOME` is heeded);
4. `/etc/asyncluster.conf`.

`etc/asyncluster.conf` in the source is a template with every key. The original AsynCluster's file works as
it is, once its two passwords are chosen.

## How it is written

- Sections in brackets, keys as `key = value`, one a line; keys have blanks in them and may be in any case.
- A comment begins with `#` or `;` on a line of its own. Behind a value it would be part of the value.
- Quotes are part of a value. Blanks around it are not.
- A list (`subnets`) may go on in further lines that are indented; nothing else may.
- A key or section that does not exist, or is given twice, is an error, not a silent default.
- All faults are reported at once, each with file, line, section and key.

Durations are {DURATION_FORMS}.
Sizes are {SIZE_FORMS}.
Log levels are {LEVEL_FORMS}.
Paths begin with `/` or `~/`.

## Passwords

Two passwords make master and nodes known to each other: `[client] password` proves the node, and
`[common] server password` proves the master. Both are the same on all machines of a cluster, and differ
from each other. Make each one with

    {MAKE_PASSWORD}

A value that still begins with `{PLACEHOLDER}` is refused.

## Who may read the file

A file with secrets in it (a password here, or one in the URL of the database) is refused unless

- it belongs to root or to the user who reads it, so that nobody else can change it;
- only its owner may write to it;
- nobody outside of its group may read it.

Modes 0600 and 0640 are right. The group may read it because a service usually has a user of its own
and must not be able to rewrite its own configuration: `/etc/asyncluster.conf` then belongs to
`root:asyncluster` with mode 0640. Whoever is in that group knows the passwords, so keep it to the service.

    chown root:asyncluster /etc/asyncluster.conf && chmod 640 /etc/asyncluster.conf

Programs of other users on the master's machine only need `[common] socket`. Where that is not `/tmp/.ndm`,
tell them by a file of their own with that one key, which needs no protection.
"""


def reference() -> str:
    """The whole page, as Markdown."""
    return HEAD + "".join(_section(name) for name in SECTIONS)


def _section(section: str) -> str:
    model = SECTIONS[section]
    text = f"\n## [{section}]\n\n{(model.__doc__ or '').replace('  ', ' ').strip()}\n"
    for name, field in model.model_fields.items():
        extra: Any = field.json_schema_extra
        text += _entry(section, name.replace("_", " "), str(field.default), field.description or "", extra)
    return text


def _entry(section: str, key: str, default: str, meaning: str, extra: dict[str, str]) -> str:
    needed = " and ".join(f"a {need}" for need, pairs in REQUIRED.items() if (section, key) in pairs)
    lines = [f"\n### `{key}`\n", f"{meaning}\n"]
    if needed:
        lines.append(f"- Has to be given for {needed}.")
    else:
        lines.append(f"- Default: {extra['shown'] or f'`{default}`'}")
    if extra["unit"]:
        lines.append(f"- Value: {extra['unit']}")
    if extra["example"].startswith("the output of: "):
        lines.append(f"- Example: the output of `{extra['example'].removeprefix('the output of: ')}`")
    elif extra["example"]:
        lines.append(f"- Example: `{key} = {extra['example']}`")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
