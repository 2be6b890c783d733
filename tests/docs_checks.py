"""What every block, link and path of the documentation is held against, without running anything."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import itertools
import json
import re
import shlex
import subprocess
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import typer
import yaml

from docs_blocks import FENCE, ROOT, Block
from mdjpt_platform import verbs
from mdjpt_platform.cli import app
from mdjpt_platform.errors import MdjptError
from mdjpt_platform.predict.runfile import load as load_prediction
from mdjpt_platform.runfile import load
from mdjpt_platform.study.spec import load_study

OPERATORS = {"|", "||", "&&", ";", "&", "(", ")", "\n"}
FOREIGN = {
    "cat", "cd", "column", "cp", "curl", "do", "docker", "done", "echo", "export", "find", "for", "git", "grep", "head",
    "helm", "kubectl", "ls", "mkdir", "mlflow", "openssl", "pip", "ray", "rm", "sbatch", "scancel", "set", "source",
    "squeue", "tail", "tar", "test", "wc",
}  # fmt: skip
"""Programs that are not ours: only the shell's syntax is checked."""


def syntax(block: Block) -> str:
    """What is wrong with the text of a block; empty if nothing."""
    try:
        if block.language == "bash":
            done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
            return done.stderr
        if block.language == "python":
            ast.parse(block.text)
        if block.language == "yaml":
            list(yaml.safe_load_all(block.text))
        if block.language == "json":
            json.loads(block.text)
    except (SyntaxError, ValueError, yaml.YAMLError) as error:
        return str(error)
    return ""


def commands(text: str) -> Iterator[list[str]]:
    """Simple commands of a bash block as words; assignments in front and redirections are left out."""
    text = re.sub(r"<<'?(\w+)'?\n.*?\n\1\n", "\n", text, flags=re.DOTALL)  # here documents
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in OPERATORS:
                words.append(word)
                continue
            while words and re.match(r"[A-Za-z_]\w*=|\$?\($", words[0]):
                words.pop(0)
            if words:
                yield words
            words = []


def strict(words: list[str]) -> str:
    """What the parser of `mdjpt` says of a whole command; empty if it takes it."""
    command, context = typer.main.get_command(app), None
    rest = [word for word in words[1:] if not re.fullmatch(r"\d?>+.*", word)]
    while "--help" not in rest:
        try:
            context = command.make_context(command.name, list(rest), parent=context)
            if not hasattr(command, "commands"):
                return ""
            left = [*context._protected_args, *context.args]
            _, command, rest = command.resolve_command(context, left)  # type: ignore[attr-defined]
        except Exception as error:  # Typer brings a Click of its own, so its errors have no public name
            said = getattr(error, "format_message", None)
            return said() if said else repr(error)
    return ""


def loose(words: list[str]) -> str:
    """The same for a command in a sentence, which need not be whole: its verb and its options exist."""
    command = typer.main.get_command(app)
    for word in words[1:]:
        if hasattr(command, "commands") and re.fullmatch(r"[a-z]+", word):
            if word not in command.commands:
                return f"no verb {word}"
            command = command.commands[word]
        elif word.startswith("--") and word != "--help":
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            if word.partition("=")[0] not in known:
                return f"{command.name} has no option {word}"
    return ""


@cache
def _targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def _script(words: list[str], written: Collection[str]) -> str:
    """What is wrong with `python ...`: no such file or module, or an option its source does not have."""
    rest = words[1:]
    if not rest or rest[0] == "-c" or rest[0] in written:
        return ""
    if rest[0] == "-m":
        found = importlib.util.find_spec(rest[1]) if len(rest) > 1 else None
        if found is None or found.origin is None:
            return f"no module {' '.join(rest[1:2])}"
        if not rest[1].startswith("mdjpt"):
            return ""
        source, options = Path(found.origin), rest[2:]
    else:
        source, options = ROOT / rest[0], rest[1:]
        if not source.is_file():
            return f"no file {rest[0]}"
    text = source.read_text(encoding="utf-8")
    if "from mdjpt_platform.verbs import" in text:  # whose `job` reads the command line
        text += inspect.getsource(verbs)
    names = [word.partition("=")[0] for word in options if word.startswith("--")]
    return ", ".join(f"{rest[0]} has no option {name}" for name in names if f'"{name}"' not in text)


def settings(words: list[str]) -> str:
    """What is wrong with the --set of a command that names a run or study file of jobs/runs."""
    files = [ROOT / word for word in words if re.fullmatch(r"jobs/runs/\w+\.yaml", word)]
    given = [word for before, word in itertools.pairwise(words) if before == "--set"]
    given = [word for word in given if "$" not in word and "..." not in word and "=" in word]
    if len(files) != 1 or not files[0].is_file():
        return ""
    try:
        tree = yaml.safe_load(files[0].read_text(encoding="utf-8"))
        if "files" in tree:
            load_prediction(files[0], given)
        elif "base" in tree:
            load_study(files[0], given)
        else:
            load(files[0], given)
    except MdjptError as error:
        return str(error)
    return ""


def command_fault(words: list[str], written: Collection[str] = ()) -> str:
    """What is wrong with a command of a bash block whose page has `written` files; empty if nothing."""
    program = words[0].removeprefix(".venv/bin/")
    if program in ("time", "exec", "srun"):
        return command_fault(list(itertools.dropwhile(lambda word: word.startswith("-"), words[1:])), written)
    if program == "ray" and "--" in words:
        return command_fault(words[words.index("--") + 1 :], written)
    if program == "mdjpt":
        return strict(words) or settings(words)
    if program in ("python", "python3"):
        return _script(words, written) or settings(words)
    if program == "make":
        wrong = [word for word in words[1:] if "=" not in word and word not in _targets()]
        return f"no target {wrong[0]}" if wrong else ""
    if (ROOT / program).is_file() or program in FOREIGN:
        return settings(words)
    return f"{program}: a program nobody knows (FOREIGN in tests/docs_checks.py)"


PATH = re.compile(r"(?<![\w./{$-])((?:jobs|docs|tests|benchmarks|cluster|mdjpt_model|platform)/[\w./*-]*[\w*])")


def absent(text: str) -> list[str]:
    """Paths into the rooms of the repository that lead nowhere; the stem of one that ends in a placeholder counts."""
    wrong = []
    for match in PATH.finditer(text):
        name, after = match[1], text[match.end() : match.end() + 2]
        if after[:1] in ("<", "{", "…", "$") or after == "/<":
            continue
        there = any(ROOT.glob(name)) if "*" in name else (ROOT / name).exists()
        if not there:
            wrong.append(name)
    return wrong


LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"]+)\"")


def prose(page: Path) -> str:
    """A page without its fences and code spans."""
    kept, fenced = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            kept.append(re.sub(r"`[^`]*`", "", line))
    return "\n".join(kept)


def anchors(page: Path) -> set[str]:
    """Where links into a page may point: its headings as GitHub and MkDocs write them, and ids set by hand."""
    fenced, found = False, set()
    for line in page.read_text(encoding="utf-8").splitlines():
        fenced ^= bool(FENCE.match(line))
        heading = None if fenced else re.match(r"#+ +(.*?)\s*(?:\{#([\w-]+)\})?$", line)
        if heading:
            words = re.sub(r"[^\w\s-]", "", heading[1].replace("`", "")).strip().lower()
            found.add(heading[2] or re.sub(r"[\s]+", "-", words))
        found |= set(re.findall(r'id="([\w-]+)"', line))
    return found


def broken(page: Path) -> list[str]:
    """Relative links of a page that lead to no file or no heading."""
    wrong = []
    for match in LINK.finditer(prose(page)):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            wrong.append(target)
    return wrong
