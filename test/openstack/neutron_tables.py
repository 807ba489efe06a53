"""Neutron's tables straight from its models, which is quicker than its migrations: `neutron_tables.py CONF URL`."""

from __future__ import annotations

import sys

import sqlalchemy
from neutron.common import config  # noqa: F401 - declares the options
from neutron.db.migration.models import head
from oslo_config import cfg

cfg.CONF(["--config-file", sys.argv[1]], project="neutron")
head.get_metadata().create_all(sqlalchemy.create_engine(sys.argv[2]))
