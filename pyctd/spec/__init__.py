"""OCI runtime specs: dockerd's default spec, with the everyday settings as keywords.

A spec is a plain dict, which you can also write without this package. Nothing here loads the Go library.
``Client.new_container``, ``Task.exec`` and ``Task.update_resources`` take a ``SpecLike``, and check it against the OCI
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
