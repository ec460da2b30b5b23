"""How pyctd is built: setuptools, with commands of its own for what is native.

1. ``build.py``, beside this package, is the entry: pip and ``build`` call its hooks, which are ``backend``'s.
2. ``backend`` refuses Pythons that can't run pyctd (``machine``), and asks for Go if there is none (``go``).
3. ``setup.py`` names what setuptools is to make, with ``commands``.
4. ``build_ext`` has setuptools-golang build ``libpyctd.so``, and CFFI compile ``_ffi.abi3.so`` (``ffi``), which is
   linked to it and finds it beside itself.
5. ``build_py`` adds what comes from Go modules (``data``), and ``pyctd.h`` for programs in other languages.
6. ``bdist_wheel`` tags the wheel for every CPython that pyctd supports.
"""
