"""What is dynamic about the distribution: which packages it holds.

`twisted.plugins` is named by hand and has no `__init__.py`: it is a folder that Twisted's own package
takes plugins from, not a package of ours.  All else is in pyproject.toml.
"""

from __future__ import annotations

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["asyncluster", "asyncluster.*"]), "twisted.plugins"],
    package_data={"asyncluster": ["py.typed"]},
)
