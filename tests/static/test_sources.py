"""The browser's modules: the rules under which joining them is all it takes, and their pure parts under node."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest

from stepup_middleware import __version__, assets
from stepup_middleware.ceremonies.totp import ALL_DIGITS, read_code

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "static"
MODULES = sorted((STATIC / "src").glob("*.js"))
_TOKEN = re.compile(r"""/\*.*?\*/|(?<![:"'])//[^\n]*|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`""", re.DOTALL)
_CATEGORIES = {"Nd", "Nl", "No", "Zs", "Zl", "Zp", "Cc", "Pd", "Po"}  # digits, and what may stand between them
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
    parts, at = [], 0
    for token in _TOKEN.finditer(source):
        parts.append(re.sub(r"\s+", "", source[at : token.start()]))
        if token.group()[0] in '"`':
            parts.append(token.group())
        at = token.end()
    return "".join([*parts, re.sub(r"\s+", "", source[at:])])


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
    assert essence(joined) == '(()=>{"use strict";' + "".join(essence(source) for source in sources) + "})();"
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


def test_page_and_server_read_every_code_alike(tmp_path: Path) -> None:
    chance = random.Random(6238)  # noqa: S311 - the same texts in every run
    every = [chr(point) for point in range(0x110000) if unicodedata.category(chr(point)) in _CATEGORIES]
    texts = [f"12{character}3456" for character in every] + [f"{character}23456" for character in every]
    pool = [*"0123456789" * 30, *every]
    texts += ["".join(chance.choices(pool, k=chance.randint(5, 9))) for _ in range(20_000)]
    given = tmp_path / "texts.json"
    given.write_text(json.dumps(texts), encoding="utf-8")
    codes = (STATIC / "src" / "codes.js").as_uri()
    program = (
        f'import {{ codeOf }} from "{codes}"; import {{ readFileSync }} from "node:fs";'
        f'const texts = JSON.parse(readFileSync("{given}", "utf8")); console.log(JSON.stringify(texts.map(codeOf)));'
    )
    done = subprocess.run([node(), "--input-type=module", "-e", program], capture_output=True, text=True, check=True)
    read = json.loads(done.stdout)
    assert [text for text, code in zip(texts, read, strict=True) if read_code(text, ALL_DIGITS) != code] == []
    assert sum(code is not None for code in read) > 500


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
