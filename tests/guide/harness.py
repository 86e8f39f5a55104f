"""Reads the blocks of a page, and runs them as a reader would."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, chdir
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import uvicorn
from markdown_it import MarkdownIt

from demo_app.guide_pages import FOLDER
from stepup_middleware import StepUp

SECONDS = 120  # for one block of shell commands; the machine may be busy
KEY = "k3Yz-0nly-f0r-the-tests-of-the-guide-7c1d9e5b2a\n"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block. ``line`` is the one of its first line of code, counted from 0."""

    page: str
    language: str
    name: str
    text: str
    line: int

    @property
    def runs(self) -> bool:
        """Whether the harness runs it by itself."""
        if self.language == "python":
            return not self.name or self.name.endswith(".py")
        return self.language == "sh" and not self.name

    @property
    def is_file(self) -> bool:
        return "." in self.name


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    found = []
    for token in MarkdownIt("commonmark").parse(text):
        if token.type in ("fence", "code_block"):
            language, name, *_ = [*token.info.split(), "", ""]
            assert token.map is not None
            found.append(Block(page=page, language=language, name=name, text=token.content, line=token.map[0] + 1))
    return found


@dataclass(slots=True, kw_only=True)
class Ran:
    """A page after its run: the names that its Python blocks have left, its folder, what its commands printed."""

    page: str
    folder: Path
    names: dict[str, Any] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)

    @property
    def main(self) -> Any:
        """``main.py`` of the start page, as the page's blocks import it."""
        return importlib.import_module("main")


@asynccontextmanager
async def running(page: str, folder: Path) -> AsyncIterator[Ran]:
    """Run a page in a folder, which is the working directory meanwhile. Its stores are closed in the end."""
    namespace = ModuleType(page)  # a real one: some frameworks look up where a function was defined
    ran = Ran(page=page, folder=folder, names=vars(namespace))
    sys.modules[page] = namespace
    path = list(sys.path)
    with chdir(folder):  # also while it is closed: the last checkpoint is written there
        sys.path.insert(0, str(folder))
        try:
            if not (folder / "secret.key").exists():
                (folder / "secret.key").write_text(KEY, encoding="utf-8")
            for block in blocks_of("start"):
                if block.name == "main.py":
                    (folder / "main.py").write_text(block.text, encoding="utf-8")
            for block in blocks_of(page):
                await _run(block, ran)
            yield ran
        finally:
            sys.path[:] = path
            for module in _modules_in(folder):
                await _close(vars(sys.modules.pop(module)))
            await _close(ran.names)
            sys.modules.pop(page, None)


async def _run(block: Block, ran: Ran) -> None:
    if block.is_file:
        target = ran.folder / block.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text, encoding="utf-8")
    if not block.runs:
        return
    if block.language == "sh":
        ran.outputs.append(await shell(block.text, ran.folder))
    elif block.is_file:
        sys.modules.pop(Path(block.name).stem, None)
        importlib.invalidate_caches()
        ran.names.update(vars(importlib.import_module(Path(block.name).stem)))
    else:
        where = str(FOLDER / f"{block.page}.md")
        code = compile("\n" * block.line + block.text, where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, ran.names)  # noqa: S307 - it is what a reader would run
        if inspect.CO_COROUTINE & code.co_flags:
            await result


@asynccontextmanager
async def serving(app: Any, port: int, **settings: Any) -> AsyncIterator[None]:
    """Serve an app by uvicorn on a port of this machine."""
    settings = {"host": "localhost", "log_level": "warning", "ws": "none", **settings}
    server = uvicorn.Server(uvicorn.Config(app, port=port, **settings))
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not task.done(), "uvicorn did not start"
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await task


async def shell(commands: str, folder: Path, **environment: str) -> str:
    """Run commands in a folder, and return what they printed. They must succeed."""
    programs = str(Path(sys.executable).parent)
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", commands,
        cwd=folder,
        env={**os.environ, "PATH": programs + os.pathsep + os.environ["PATH"], **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        out, _ = await process.communicate()
    assert process.returncode == 0, f"{commands}\n{out.decode()}"
    return out.decode()


def _modules_in(folder: Path) -> list[str]:
    return [
        name
        for name, module in list(sys.modules.items())
        if (getattr(module, "__file__", None) or "").startswith(str(folder))
    ]


async def _close(names: dict[str, Any]) -> None:
    for value in list(names.values()):
        if isinstance(value, StepUp):
            await value.close()
