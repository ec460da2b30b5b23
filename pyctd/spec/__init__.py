"""OCI runtime specs: dockerd's default one to start from, with what is set daily as keywords.

A spec is a plain dict; nothing here is needed to write another, and none of it loads the Go library. What
``Client.new_container``, ``Task.exec`` and ``Task.update_resources`` take is a ``SpecLike``, checked against the OCI
schema before it goes to Go.
"""

from ._default import default
from ._given import SpecLike
from ._keywords import DefaultKeywords, ProcessKeywords, ResourceKeywords
from ._mounts import bind, tmpfs
from ._process import process, process_of
from ._resources import resources

__all__ = [
    "DefaultKeywords",
    "ProcessKeywords",
    "ResourceKeywords",
    "SpecLike",
    "bind",
    "default",
    "process",
    "process_of",
    "resources",
    "tmpfs",
]
