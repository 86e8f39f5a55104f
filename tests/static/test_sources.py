"""The browser's modules: the rules under which joining them is all it takes, and their pure parts under node."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stepup_middleware import __version__, assets

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "static"
MODULES = sorted((STATIC / "src").glob("*.js"))
_TOKEN = re.compile(r"""/\*.*?\*/|(?<![:"'])//[^\n]*|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`""", re.DOTALL)
_DECLARED = re.compile(r"^(?:export )?(?:async )?(?:const|let|class|function) (\w+)", re.MULTILINE)


def node() -> str:
    """Return where node is. Without it the test is skipped on a laptop and fails in CI."""
    found = shutil.which("node")
    if found is not None:
        return found
    reason = "no node on this machine (Debian, Ubuntu: apt install nodejs)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def essence(source: str) -> str:
    """Return a script without its comments, imports and exports, and without any space outside of a text."""
    source = re.sub(r"^import .*\n", "", source, flags=re.MULTILINE)
    source = re.sub(r"^export ", "", source, flags=re.MULTILINE)
    parts, code, at = [], "", 0
    for token in _TOKEN.finditer(source):
        code += source[at : token.start()]
        if token.group()[0] in '"`':
            parts += [bare(code), token.group()]
            code = ""
        at = token.end()
    return "".join([*parts, bare(code + source[at:])])


def bare(code: str) -> str:
    """Return code without any space, without the marks that the end of a block or a literal makes needless, and without
    what is served shorter: the names of a class's own, the word of a constant, true and false, an arrow's argument."""
    code = re.sub(r"\bconst\b", "let", re.sub(r"#[a-zA-Z]\w*", "#", code))
    code = re.sub(r"\btrue\b", "!0", re.sub(r"\bfalse\b", "!1", code))
    code = re.sub(r"(?<![\w$])\((\w+)\)(?==>)", r"\1", re.sub(r"\s+", "", code))
    return re.sub(r"[;,](?=\})", "", code)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_keeps_to_the_rules_of_joining(module: Path) -> None:
    source = module.read_text(encoding="utf-8")
    lines = source.splitlines()
    imports = [line for line in lines if re.match(r"\s*import\b(?!\()", line)]
    assert len(imports) == len(assets.IMPORT.findall(source)), "an import is one line of names"
    exports = [line for line in lines if re.match(r"\s*export\b", line)]
    assert all(re.match(r"export (?:const|class|function|async function) \w", line) for line in exports)
    for token in _TOKEN.finditer(source):
        text = token.group()
        if text[0] in '"`':
            assert "\n" not in text, "a text ends on its line"
            assert "/*" not in text and " //" not in text, "no comment's mark stands in a text"
    assert not re.search(r"\bstatic\s*\{", source), "Safari 16.0 to 16.3 read no static block"
    assert len(lines) <= 350


@pytest.mark.parametrize("script", assets.SCRIPTS)
def test_a_joined_script_is_its_modules_and_nothing_else(script: str) -> None:
    joined = assets.bundled()[script].content.decode()
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...] = ()) -> None:
        assert name not in above, f"modules import each other: {(*above, name)}"
        for needed in assets.IMPORT.findall((STATIC / "src" / name).read_text(encoding="utf-8")):
            visit(needed, (*above, name))
        if name not in order:
            order.append(name)

    visit(script)
    sources = [(STATIC / "src" / name).read_text(encoding="utf-8") for name in order]
    assert essence(joined) == essence("\n".join(['(()=>{"use strict";', *sources, "})();"]))
    own = [name for source in sources for name in set(re.findall(r"#([a-zA-Z]\w*) *[=(;]", source))]
    assert len(own) == len(set(own)) == len(set(re.findall(r"#(\w+)", re.sub(r'"[^"\n]*"|`[^`]*`', "", joined))))
    names = [name for source in sources for name in _DECLARED.findall(source)]
    assert sorted(names) == sorted(set(names)), "two modules declare one name"
    assert "/*" not in re.sub(r'"[^"\n]*"', "", joined)


@pytest.mark.parametrize("script", assets.SCRIPTS)
def test_node_reads_a_joined_script_and_each_module(script: str, tmp_path: Path) -> None:
    joined = tmp_path / script
    joined.write_bytes(assets.bundled()[script].content)
    subprocess.run([node(), "--check", str(joined)], check=True)
    subprocess.run([node(), "--check", str(STATIC / "src" / script)], check=True)


def test_the_pure_parts_pass_under_node() -> None:
    tests = sorted(str(path) for path in Path(__file__).parent.glob("*.test.js"))
    done = subprocess.run([node(), "--test", *tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), done.stdout


def test_the_folder_can_be_published_as_it_is() -> None:
    package = json.loads((STATIC / "package.json").read_text(encoding="utf-8"))
    assert (package["type"], package["version"]) == ("module", __version__)
    assert "dependencies" not in package
    for target in package["exports"].values():
        for file in [target] if isinstance(target, str) else target.values():
            assert (STATIC / file).is_file()
            assert file.removeprefix("./") in package["files"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_no_regular_expression_has_a_blank_or_a_quote_that_joining_would_take_for_another(module: Path) -> None:
    source = re.sub(r"/\*.*?\*/", "", module.read_text(encoding="utf-8"), flags=re.DOTALL)
    for line in source.splitlines():
        code = re.sub(r"(?:^|(?<=[\s;{},)]))// .*$", "", line)
        bare = re.sub(r'"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`', '""', code)
        for expression in re.findall(
            r"(?<=[(,=:!&|?;{ ])/((?:[^/\\\[\n]|\\.|\[(?:[^\]\\]|\\.)*\])+)/[dgimsuy]*(?=[.,;)\s])", bare
        ):
            assert not re.search(r"[\s\"'`]", expression), expression
        assert not re.search(r"\+ \+|- -", bare)


def test_the_module_can_be_imported_where_there_is_no_document() -> None:
    program = f'import {{ fetch }} from "{(STATIC / "index.js").as_uri()}"; console.log(typeof fetch);'
    command = [node(), "--input-type=module", "-e", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.returncode) == ("function", 0), done.stderr
