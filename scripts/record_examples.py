"""Run the README's examples and write what they print: into README.md, and as a picture of a terminal.

    python scripts/record_examples.py                    # all of them, and docs/figures/session.svg
    python scripts/record_examples.py --only tables

Each example is a list of commands that run in a folder of their own. tests/test_readme.py runs the same lists and
compares what README.md shows with what is printed then.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
SESSION = ROOT / "docs" / "figures" / "session.svg"

COLUMNS, LINE_HEIGHT, CHAR_WIDTH, MARGIN = 104, 19, 8.43, 22  # of the picture; widths of a 14 px monospaced font


@dataclass(frozen=True)
class Step:
    """A command, and which of the lines that it prints are shown.

    Parameters
    ----------
    command : str
        As a user types it. ``cat FILE`` is done here, so that it works on every system.
    skip : str
        Lines that match this regular expression are left out.
    lines : int, optional
        So many lines are shown, counted without those left out.
    """

    command: str
    skip: str = r"^$|^\s+value$|^Warning|^The sentence was written|^Each row's text"
    lines: int | None = None


def write_iris(folder: Path) -> None:
    """Write scikit-learn's iris table: 100 rows to build from, 50 held out, and these without their answers."""
    from sklearn.datasets import load_iris
    from sklearn.model_selection import train_test_split

    iris = load_iris(as_frame=True)
    table = iris.data.assign(species=iris.target.map(dict(enumerate(iris.target_names))))
    train, held_out = train_test_split(table, test_size=50, stratify=table["species"], random_state=0)
    train.to_csv(folder / "iris.csv", index=False)
    held_out.to_csv(folder / "held_out.csv", index=False)
    held_out.drop(columns="species").to_csv(folder / "new.csv", index=False)


def write_messages(folder: Path) -> None:
    """Write the 60 messages to a shop: 24 to build from, 36 held out, and a requirement that names the classes."""
    header, *rows = (ROOT / "scripts/samples/messages.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "examples.csv").write_text("".join([header, *rows[:24]]), encoding="utf-8")
    (folder / "held_out.csv").write_text("".join([header, *rows[24:]]), encoding="utf-8")
    (folder / "shop.txt").write_text(
        "Sort the messages that customers send to our shop, so that complaints can be answered first.\n---\n"
        "target: kind\nclasses: [complaint, praise, question]\ncolumns: [{name: message, type: text, role: text}]\n",
        encoding="utf-8",
    )


def write_digits(folder: Path) -> None:
    """Write 300 handwritten digits of scikit-learn's, a folder per class: half to build from, half held out."""
    command = [sys.executable, str(ROOT / "scripts/sample_images.py"), str(folder)]
    subprocess.run(command, check=True)


@dataclass(frozen=True)
class Example:
    """The data of an example, and its commands."""

    prepare: Callable[[Path], None]
    steps: tuple[Step, ...]


EXAMPLES = {
    "tables": Example(
        write_iris,
        (
            Step("modelgpt describe iris.csv --target species --offline -o requirement.txt"),
            Step("modelgpt build --req requirement.txt -o model.onnx"),
            Step("modelgpt predict model.onnx new.csv --proba", lines=3),
            Step("modelgpt evaluate model.onnx held_out.csv", lines=7),
        ),
    ),
    "texts": Example(
        write_messages,
        (
            Step("cat shop.txt"),
            Step("modelgpt build --req shop.txt -o words.onnx"),
            Step("modelgpt evaluate words.onnx held_out.csv", lines=2),
            Step("modelgpt build --req shop.txt --data examples.csv -o model.onnx"),
            Step("modelgpt evaluate model.onnx held_out.csv", lines=2),
        ),
    ),
    "images": Example(
        write_digits,
        (
            Step("modelgpt describe examples/ --offline -o digits.txt"),
            Step("modelgpt build --req digits.txt -o digits.onnx"),
            Step('modelgpt predict digits.onnx "held_out/7/*.png" --topk 2', lines=3),
            Step("modelgpt evaluate digits.onnx held_out/", lines=3),
        ),
    ),
}


Execute: TypeAlias = Callable[[list[str], Path, dict[str, str]], tuple[int, str]]
"""Run a command line in a folder with an environment; its exit code, and stdout and stderr as they come."""


def execute(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a command in a process of its own; see `Execute`."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    return done.returncode, done.stdout


def run(step: Step, folder: Path, execute: Execute = execute) -> list[str]:
    """Run a step's command in `folder` and return the lines that are to be shown, stdout and stderr as they come.

    Raises
    ------
    RuntimeError
        The command failed; the message has what it printed.
    """
    name, *arguments = shlex.split(step.command)
    if name == "cat":
        printed = (folder / arguments[0]).read_text(encoding="utf-8")
    else:
        beside = Path(sys.executable).parent
        executable = shutil.which(name, path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}") or name
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "MODELGPT_"))}
        environment |= {"MODELGPT_CACHE": str(folder / ".cache"), "NO_COLOR": "1", "PYTHONUTF8": "1"}
        code, printed = execute([executable, *arguments], folder, environment)
        if code:
            raise RuntimeError(f"{step.command}\n{printed}")
    shown = [line.rstrip() for line in printed.splitlines() if not re.search(step.skip, line)]
    return shown[: step.lines]


def record(name: str, execute: Execute = execute) -> list[tuple[str, list[str]]]:
    """Run an example in a fresh folder named after it; return each command with the lines that are shown."""
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / name
        folder.mkdir()
        EXAMPLES[name].prepare(folder)
        return [(step.command, run(step, folder, execute)) for step in EXAMPLES[name].steps]


def console(session: list[tuple[str, list[str]]]) -> str:
    """Lay a session out as a console block of Markdown."""
    blocks = ["\n".join([f"$ {command}", *lines]) for command, lines in session]
    return "```console\n" + "\n\n".join(blocks) + "\n```"


def picture(session: list[tuple[str, list[str]]]) -> str:
    """Draw a session as the SVG of a terminal."""
    rows: list[str] = []
    y = MARGIN + 44.0
    for command, lines in session:
        rows.append(f'<text class="c" x="{MARGIN}" y="{y:.0f}"><tspan class="p">$ </tspan>{escape(command)}</text>')
        y += LINE_HEIGHT
        for part in [part for line in lines for part in textwrap.wrap(line, COLUMNS, drop_whitespace=False)]:
            rows.append(f'<text x="{MARGIN}" y="{y:.0f}" xml:space="preserve">{escape(part)}</text>')
            y += LINE_HEIGHT
        y += LINE_HEIGHT * 0.6
    width, height = round(2 * MARGIN + COLUMNS * CHAR_WIDTH), round(y + MARGIN / 2)
    lights = "".join(
        f'<circle cx="{MARGIN + 4 + 20 * i}" cy="22" r="6" fill="{colour}"/>'
        for i, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img"
 aria-label="A terminal: a table becomes a requirement, a model, predictions and their evaluation">
<style>
text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #c9d1d9 }}
.c {{ fill: #ffffff; font-weight: 600 }}
.p {{ fill: #56d364 }}
</style>
<rect width="{width}" height="{height}" rx="10" fill="#0d1117"/>
{lights}
{chr(10).join(rows)}
</svg>
"""


def section(text: str, name: str) -> str:
    """Return what stands between the markers of an example in README.md."""
    found = re.search(rf"<!-- example {name} -->\n(.*?)\n<!-- /example {name} -->", text, re.DOTALL)
    if found is None:
        raise ValueError(f"README.md has no markers for the example {name!r}")
    return found.group(1)


def main() -> None:
    """Run the examples that are asked for and write them into README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=EXAMPLES, help="one example instead of all")
    args = parser.parse_args()
    for name in [args.only] if args.only else EXAMPLES:
        session = record(name)
        text = README.read_text(encoding="utf-8")
        README.write_text(text.replace(section(text, name), console(session)), encoding="utf-8")
        if name == "tables":
            SESSION.write_text(picture(session), encoding="utf-8")
        print(f"{name}: {len(session)} commands", file=sys.stderr)


if __name__ == "__main__":
    main()
