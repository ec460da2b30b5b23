"""CFFI's compiled module; gosrc/pyctd.h has the declarations of what is in lib."""

from typing import Any

ffi: Any
lib: Any
