"""Runs the code blocks of a document, in order and as they stand, as one program.

``python``  runs in the document's namespace, ``await`` and all. What it prints has to be said: by comments on the lines
            that print, or by the ``text`` block that follows.
``text``    is what the block before it has printed; an ellipsis ``…`` stands for any text.
``sh``      runs in bash, in the document's directory; what pyctd's command line prints has to be said likewise.
``c``       is a program, which is compiled with the installed header, linked to the installed library and run.

An HTML comment ``skip: next "where it is run"`` leaves a block to somebody else, and has to say whom; ``skip: next
if(condition, "…")`` does where that holds.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest

from sybil import Example, Sybil
from sybil.evaluators.python import pad
from sybil.parsers.markdown import CodeBlockParser, SkipParser

import pyctd

SAID = re.compile(r"^(?:.*\bprint\(.*\)|python -m pyctd .*)  # (.*)$", re.MULTILINE)
FENCE = re.compile(r"^ *```(.*)$", re.MULTILINE)
SKIP = re.compile(r'^<!--- skip: next (".+"|if\(.+, ".+"\)) -->$', re.MULTILINE)


class Blocks:
    """The blocks of one document.

    Args:
        document: its path.
        directory: where its commands run.
        names: what its Python finds defined.
        stand_ins: what is put in place of words that are no example's own, such as the system's socket.
    """

    def __init__(self, document: Path, directory: Path, names: Mapping[str, Any], stand_ins: Mapping[str, str]) -> None:
        self._directory = directory
        self._stand_ins = stand_ins
        self._printed = ""
        languages: dict[str, Callable[[Example], str]] = {"python": self._python, "sh": self._sh, "c": self._c}
        parsers: list[Any] = [CodeBlockParser(name, partial(self._run, run)) for name, run in languages.items()]
        parsers += [CodeBlockParser("text", self._text), SkipParser()]
        self.document = Sybil(parsers, path=str(document.parent), patterns=[document.name]).parse(document)
        self.document.namespace.update(names)
        text = document.read_text()
        unknown = set(FENCE.findall(text)[::2]) - {*languages, "text"}
        assert not unknown, f"{document}: nobody runs blocks of {unknown}"
        assert len(SKIP.findall(text)) == text.count("skip: "), f"{document}: a skip has to say who runs the block"

    def run(self) -> int:
        """Runs them all; how many there are."""
        examples = list(self.document.examples())
        self._loop = asyncio.new_event_loop()
        try:
            for example in examples:
                with contextlib.suppress(SkipTest):  # by a comment, with a reason
                    example.evaluate()
            self._nothing_unsaid("the document ends")
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
        return len(examples)

    def _nothing_unsaid(self, where: str) -> None:
        assert not self._printed, f"{where}, and it was not said that this would be printed:\n{self._printed}"

    def _run(self, run: Callable[[Example], str], example: Example) -> None:
        where = f"{example.path}:{example.line}"
        self._nothing_unsaid(where)
        self._printed = run(example)
        if said := SAID.findall(example.parsed):
            self._compare(example, "\n".join(said))

    def _text(self, example: Example) -> None:
        self._compare(example, example.parsed)

    def _compare(self, example: Example, said: str) -> None:
        pattern = ".*".join(map(re.escape, said.strip().split("…")))
        assert re.fullmatch(pattern, self._printed.strip(), re.DOTALL), (
            f"{example.path}:{example.line} is not what was printed:\n{self._printed}"
        )
        self._printed = ""

    def _stood_in(self, text: str) -> str:
        for word, stand_in in self._stand_ins.items():
            text = text.replace(word, stand_in)
        return text

    def _python(self, example: Example) -> str:
        source = pad(self._stood_in(example.parsed), example.line + example.parsed.line_offset)
        code = compile(source, example.path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            result = eval(code, example.namespace)
            if inspect.iscoroutine(result):
                self._loop.run_until_complete(result)
        return out.getvalue()

    def _sh(self, example: Example) -> str:
        return self._command("bash", "-euo", "pipefail", "-c", self._stood_in(example.parsed))

    def _c(self, example: Example) -> str:
        library = Path(pyctd.__file__).parent
        source = self._directory / "program.c"
        source.write_text(self._stood_in(example.parsed))
        flags = ["-Wall", "-Werror", f"-I{library}", f"-L{library}", "-lpyctd", f"-Wl,-rpath,{library}"]
        self._command("gcc", str(source), "-o", str(self._directory / "program"), *flags)
        return self._command(str(self._directory / "program"))

    def _command(self, *command: str) -> str:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=100, check=False, cwd=self._directory, env=environment
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout
