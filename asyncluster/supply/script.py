"""The text of a pilot's job script and of the configuration that it reads: pure, the template comes in as text."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable

import attrs
from jinja2 import Environment, StrictUndefined, TemplateError

from asyncluster import inherited
from asyncluster.errors import ConfigError
from asyncluster.model.supply_options import BatchUnit
from asyncluster.supply.node_conf import Account, NodeConf, node_conf
from asyncluster.supply.pilot_template import TEMPLATE

PREFIXES = {"slurm": "#SBATCH", "sge": "#$", "torque": "#PBS"}
VARIABLES = {
    "began": inherited.NODE_BEGAN,
    "name": inherited.NODE_NAME,
    "pool": inherited.NODE_POOL,
    "birthplace": inherited.NODE_BIRTHPLACE,
    "lifetime": inherited.NODE_LIFETIME,
    "stagger": inherited.NODE_STAGGER,
}
PASSED_ON = "HOME,USER,LOGNAME,SHELL,PATH,LANG"
"""Of the master's environment, by Slurm; the others pass nothing on."""

NONE = "none"
"""Instead of the name of a resource: it is not asked for."""

_MIB = 1 << 20


@attrs.frozen
class Pilot:
    """One pilot to be.

    name: of the node; job: of its job; pool; unit: what is asked for; config_file, log: paths as the compute node sees
    them; lifetime: seconds, 0 = as the batch system says.
    """

    name: str
    job: str
    pool: str
    unit: BatchUnit
    config_file: str
    log: str
    lifetime: float = 0.0


def script(pilot: Pilot, template: str = TEMPLATE) -> str:
    """The job script; raises ConfigError for a template that is none, or that names what there is not."""
    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (it is no HTML; each value is quoted for the shell where it stands)
    )
    environment.filters["quote"] = lambda value: shlex.quote(str(value))
    try:
        return environment.from_string(template).render(
            prefix=PREFIXES[pilot.unit.system],
            directives=directives(pilot),
            masters=pilot.unit.masters,
            name=pilot.name,
            job=pilot.job,
            pool=pilot.pool,
            unit=pilot.unit,
            lifetime=f"{pilot.lifetime:.0f}" if pilot.lifetime else "",
            stagger=f"{pilot.unit.stagger:g}",
            setup=pilot.unit.setup,
            interpreter=pilot.unit.interpreter,
            config_file=pilot.config_file,
            log=pilot.log,
            variables=VARIABLES,
        )
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        where = f" line {line}" if line else ""
        raise ConfigError(f"[cloud] {pilot.pool}.config.template:{where} {error.message}") from None


def directives(pilot: Pilot) -> list[str]:
    """What the batch system is asked for, without the sign in front; the administrator's own come last, and win."""
    for what, path in (("log", pilot.log), ("config file", pilot.config_file)):
        if any(letter.isspace() or letter in "%\"'\\$" for letter in path):
            raise ConfigError(
                f"[cloud] {pilot.pool}.config.folder: the path of the {what}, {path}, has a blank or a sign that batch "
                "systems read; name another folder"
            )
    return [*_ASKED[pilot.unit.system](pilot), *pilot.unit.directives]


def _slurm(pilot: Pilot) -> list[str]:
    unit = pilot.unit
    asked = [f"--job-name={pilot.job}", "--nodes=1", "--ntasks=1", f"--cpus-per-task={unit.cores}", "--no-requeue"]
    asked += [f"--partition={unit.queue}"] if unit.queue else []
    asked += [f"--account={unit.account}"] if unit.account else []
    asked += [f"--mem={math.ceil(unit.memory / _MIB)}M"] if unit.memory else []
    asked += [f"--gres=gpu:{unit.gpus}"] if unit.gpus else []
    # rounded up to whole minutes by Slurm itself
    asked += [f"--time={_clock(unit.walltime)}"] if unit.walltime else []
    return [*asked, f"--output={pilot.log}", "--open-mode=append", f"--export={PASSED_ON}"]


def _sge(pilot: Pilot) -> list[str]:
    """Memory and gpus have names that differ from site to site; memory is counted by slot.

    -notify: the job is told some time before it is killed, otherwise nobody gives back what a pilot has.
    """
    unit = pilot.unit
    asked = [f"-N {pilot.job}", "-S /bin/sh", "-r n", "-notify", "-j y", f"-o {pilot.log}"]
    asked += [f"-q {unit.queue}"] if unit.queue else []
    asked += [f"-P {unit.account}"] if unit.account else []
    asked += [f"-pe {unit.environment} {unit.cores}"] if unit.environment else []
    if unit.memory and unit.memory_resource != NONE:
        asked += [f"-l {unit.memory_resource}={math.ceil(unit.memory / _MIB / unit.cores)}M"]
    if unit.gpus and unit.gpu_resource != NONE:
        asked += [f"-l {unit.gpu_resource}={unit.gpus}"]
    return asked + ([f"-l h_rt={_clock(unit.walltime)}"] if unit.walltime else [])


def _torque(pilot: Pilot) -> list[str]:
    unit = pilot.unit
    node = f"nodes=1:ppn={unit.cores}" + (f":gpus={unit.gpus}" if unit.gpus else "")
    asked = [f"-N {pilot.job}", "-S /bin/sh", "-r n", "-j oe", f"-o {pilot.log}", f"-l {node}"]
    asked += [f"-q {unit.queue}"] if unit.queue else []
    asked += [f"-A {unit.account}"] if unit.account else []
    asked += [f"-l mem={math.ceil(unit.memory / _MIB)}mb"] if unit.memory else []
    return asked + ([f"-l walltime={_clock(unit.walltime)}"] if unit.walltime else [])


_ASKED: dict[str, Callable[[Pilot], list[str]]] = {"slurm": _slurm, "sge": _sge, "torque": _torque}


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds, which all three read alike; hours may be many."""
    whole = math.ceil(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def pilot_conf(unit: BatchUnit, account: Account, lease: float, slots: int = 0) -> str:
    """The asyncluster.conf of all pilots of a pool; lease: seconds.  What differs between them is in their scripts."""
    hosts = ", ".join(unit.masters) or account.host
    features = ", ".join(unit.features)
    what = NodeConf(hosts, str(slots or unit.cores), features, lease, unit.give_up_after, unit.retry_every)
    return node_conf(account, what)
