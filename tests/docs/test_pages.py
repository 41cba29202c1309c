"""README and documentation: their Python prints what they say, what they name exists."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import pkgutil
import re
from pathlib import Path

import pytest
import yaml

from sb3_atari_course.course.exercises import EXERCISES
from tests.docs.pages import PAGES, ROOT, Block, all_blocks, blocks_of

README = (ROOT / "README.md").read_text(encoding="utf-8")

PYTHON = [
    pytest.param(block, id=str(block), marks=[pytest.mark.slow] * (block.mark == "slow"))
    for block in all_blocks("python")
    if block.is_run
]


def test_blocks_are_found_with_their_marks() -> None:
    text = "# A\n```python\na = 1\n```\n<!-- slow -->\n```bash\nb\nc\n```\n"
    assert list(blocks_of(text, "x.md")) == [
        Block("x.md", 3, "python", "a = 1\n", ""),
        Block("x.md", 7, "bash", "b\nc\n", "slow"),
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_marks_are_known_and_stand_above_a_block(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    marks = [block.mark for block in blocks_of(text, "") if block.mark]
    assert marks == re.findall(r"^\s*<!--\s*(.+?)\s*-->\s*$", text, flags=re.M)
    assert all(re.fullmatch(r"slow|not run: .+", mark) for mark in marks)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_of_a_kind_that_is_tested(page: Path) -> None:
    kinds = (
        r"bash|python|yaml|text|\{(?:eval-rst|toctree|program-output|include|literalinclude)\}.*"
    )
    fences = re.findall(r"^[ \t]*(?:```|~~~).*$", page.read_text(encoding="utf-8"), flags=re.M)
    for opening, closing in zip(fences[::2], fences[1::2], strict=True):
        assert re.fullmatch(rf"```(?:{kinds})", opening), opening
        assert closing == "```"


def test_python_blocks_compile() -> None:
    for block in all_blocks("python"):
        compile(block.code, str(block), "exec")


@pytest.mark.parametrize("block", PYTHON)
def test_python_blocks_print_their_comments(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.code, str(block), "exec"), {})
    expected = [line[2:] for line in block.code.splitlines() if line.startswith("# ")]
    assert expected == printed.getvalue().splitlines()


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_yaml_blocks_are_valid(block: Block) -> None:
    assert yaml.safe_load(block.code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_paths_and_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    folders = "sb3_atari_course|hyperparams|tests|docs|examples|benchmarks|trained_agents"
    for path in set(re.findall(rf"`((?:{folders})/[\w/.-]+)`", text)):
        if not re.search(r"_build|lessonN|\b(ALGO|ENV|NAME)\b", path):  # made by make, placeholders
            assert (ROOT / path).exists(), path
    for name in set(re.findall(r"\bsb3_atari_course(?:\.\w+)+", text)):
        assert _exists(name), name


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", README)
    assert len(links) > 20
    for link in links:
        assert (ROOT / link).exists(), link


def test_references_in_docstrings_exist() -> None:
    """Sphinx checks those of public names only."""
    for path in (ROOT / "sb3_atari_course").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r":\w+:`~?(sb3_atari_course(?:\.\w+)+)", text):
            assert _exists(name), f"{path}: {name}"


def _exists(name: str) -> bool:
    """Tell whether a dotted name is a module, which is not imported, or an attribute of one."""
    with contextlib.suppress(ModuleNotFoundError):  # of a class
        if importlib.util.find_spec(name):
            return True
    with contextlib.suppress(ImportError, AttributeError):
        return pkgutil.resolve_name(name) is not None
    return False


def test_install_page_has_the_training_command_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (conf,) = re.findall(r"^CONF := (.*)$", makefile, flags=re.MULTILINE)
    (steps,) = re.findall(r"^STEPS \?= (\d+)$", makefile, flags=re.MULTILINE)
    assert f"-conf {conf} -n {steps} -P" in (ROOT / "docs/install.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/course/index.md"])
def test_lessons_and_exercises_are_in_the_table_of_the_course(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for lesson in (ROOT / "examples").glob("lesson*.py"):
        (row,) = re.findall(rf"^\| .*`{lesson.stem}`.*$", text, flags=re.MULTILINE)
        for exercise, posed_by in EXERCISES.items():
            assert (f"`{exercise}`" in row) == (posed_by == lesson.stem)


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 170


def test_errors_of_troubleshooting_are_raised_by_the_package() -> None:
    """Each heading in a code span is a message of the package; "…" stands for what differs."""
    text = (ROOT / "docs/guide/troubleshooting.md").read_text(encoding="utf-8")
    ours, _ = text.split("## Messages of other projects")
    constants = [
        node.value
        for path in (ROOT / "sb3_atari_course").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    headings = re.findall(r"^### `(.+)`$", ours, flags=re.M)
    assert len(headings) > 20
    for heading in headings:
        for part in heading.split("…"):
            assert any(part.strip() in constant for constant in constants), heading
