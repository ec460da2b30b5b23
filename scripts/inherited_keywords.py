"""A griffe extension for the documentation: adds inherited keywords to TypedDicts.

griffe's ``unpack_typeddict`` expands ``**given: Unpack[DefaultKeywords]`` only to the keywords of the class itself.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from griffe import Class, Extension, Module


class InheritedKeywords(Extension):
    """Copies inherited keywords to the classes whose names end in ``Keywords``."""

    def on_package(self, *, pkg: Module, **kwargs: Any) -> None:
        for cls in _classes(pkg):
            inherited = {}
            for base in cls.resolved_bases:
                inherited |= {name: copy.copy(keyword) for name, keyword in base.attributes.items()}
            cls.members = {**inherited, **cls.members}


def _classes(module: Module) -> Iterator[Class]:
    for member in module.members.values():
        if not member.is_alias and member.is_module:
            yield from _classes(member)
        elif not member.is_alias and member.is_class and member.name.endswith("Keywords"):
            yield member
