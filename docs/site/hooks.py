"""What MkDocs does with the pages on the way: the command reference is made, and links out of docs/ are resolved."""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the commands are those of this checkout, whatever else is installed

from mkdocs.exceptions import PluginError  # noqa: E402

from modelgpt_cli.commands.group import cli  # noqa: E402
from modelgpt_cli.core.option_fields import known_options  # noqa: E402
from modelgpt_cli.core.options import BuildOptions  # noqa: E402
from scripts import llms_txt  # noqa: E402

COMMANDS_MARKER = "<!-- commands -->"
REQUESTS_MARKER = "<!-- request options -->"
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./|results\b)[^)#\s]*)(?:#[^)\s]*)?\)")
_PAGES: dict[str, str] = {}
"""Source → what the page is rendered from."""
_NAV: list[Any] = []


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Fill in what is made from the options, and turn links that leave docs/ into links to the repository, or text."""
    if COMMANDS_MARKER in markdown:
        markdown = markdown.replace(COMMANDS_MARKER, command_reference())
    if REQUESTS_MARKER in markdown:
        markdown = markdown.replace(REQUESTS_MARKER, request_options())

    def resolved(link: re.Match[str]) -> str:
        label, target = link.groups()
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.file.src_uri), target))
        if not (ROOT / path).exists():
            raise PluginError(f"{page.file.src_uri} links to {target}, which is not there")
        if config.repo_url:
            return f"[{label}]({config.repo_url.rstrip('/')}/blob/main/{path})"
        code = label if label.startswith("`") else f"`{path}`"
        return code if label in (path, target) or label.startswith("`") else f"{label} ({code})"

    found = LINK.sub(resolved, markdown)
    _PAGES[page.file.src_uri] = found
    return found


def on_nav(nav: Any, **_: Any) -> Any:
    """Keep the order of the pages."""
    _NAV[:] = nav.items
    return nav


def on_post_build(*, config: Any, **_: Any) -> None:
    """Write llms.txt and llms-full.txt beside the pages."""
    docs = [
        llms_txt.Doc(section, page.title or name_of(page), page.file.url, _PAGES[page.file.src_uri])
        for section, page in pages(_NAV)
    ]
    for name, write in (("llms.txt", llms_txt.index), ("llms-full.txt", llms_txt.full)):
        text = write(config.site_name, config.site_description, docs)
        Path(config.site_dir, name).write_text(text, encoding="utf-8")


def pages(items: Any, section: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the pages of the navigation, each with what it stands under."""
    for item in items:
        if item.is_page:
            yield section, item
        elif item.children:
            yield from pages(item.children, item.title)


def name_of(page: Any) -> str:
    """Return a page's name where it has no title."""
    return str(Path(page.file.src_uri).stem)


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Refuse a page that would load something from elsewhere: the site works offline."""
    foreign = re.search(r"""(?:<script[^>]*\bsrc|<img[^>]*\bsrc|<link[^>]*\bhref)=["']?(https?:[^"'\s>]+)""", output)
    if foreign:
        raise PluginError(f"{page.file.src_uri} loads {foreign.group(1)}")
    return output


def command_reference() -> str:
    """Write the reference of every command as the CLI has it: its help, its examples, its options."""
    root = click.Context(cli, info_name="modelgpt", **cli.context_settings)
    parts = ["## modelgpt", "Options that every command takes, before or after its name:", option_table(cli, root)]
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        if command is None:
            raise PluginError(f"modelgpt lists {name!r}, which is not there")
        parts += command_section(command, root, name, shared={p.name for p in cli.params})
    return "\n\n".join(parts)


def request_options() -> str:
    """Write the options that a line of a batch may have beside its data, as a table."""
    options = known_options(BuildOptions)
    rows = [f"| `{name}` | {cell(known.about.help)} |" for name, known in options.items() if name != "data"]
    return "\n".join(["| key | effect |", "| --- | --- |", *rows])


def command_section(command: click.Command, parent: click.Context, name: str, shared: set[str | None]) -> list[str]:
    """Write the section of a command, and of the commands below it."""
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"## {context.command_path}", paragraphs(command.help or ""), f"```text\n{usage}\n```"]
    if command.epilog:
        parts.append("```bash\n" + examples(command.epilog) + "\n```")
    table = option_table(command, context, shared)
    if table:
        parts.append(table)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                section = command_section(found, context, child, shared)
                parts += [section[0].replace("## ", "### ", 1), *section[1:]]
    return parts


def paragraphs(text: str) -> str:
    """Give the help of a command as Markdown: click's control characters and line breaks go."""
    blocks = re.split(r"\n\s*\n", text.replace("\f", "").strip())
    return "\n\n".join(cell(" ".join(block.replace("\b", "").split())) for block in blocks)


def examples(epilog: str) -> str:
    """Give the examples below a command's help, without their heading and indentation."""
    lines = [line.strip() for line in epilog.replace("\b", "").splitlines()]
    return "\n".join(line for line in lines if line and not re.fullmatch(r"Examples?:", line))


def option_table(command: click.Command, context: click.Context, shared: set[str | None] | None = None) -> str:
    """Write the options of a command as a table, but those that all commands share."""
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is None or parameter.name in (shared or ()) or "--help" in parameter.opts:
            continue
        names, words = record
        default = ""
        found = re.search(r"\s*\[([^\[\]]*)\]$", words)
        if found:
            words = words[: found.start()]
            default = re.sub(r"default: (?:\(([^()]*)\))?", r"\1", found.group(1)).removeprefix("none")
        code = escape(names, quote=False).replace("|", "&#124;")
        rows.append(f"| <code>{code}</code> | {cell(words)} | {cell(default)} |")
    if not rows:
        return ""
    return "\n".join(["| option | effect | default |", "| --- | --- | --- |", *rows])


def cell(text: str) -> str:
    """Escape what Markdown and HTML would read as markup in words that are meant literally."""
    return re.sub(r"([*_`\[\]])", r"\\\1", escape(text, quote=False)).replace("|", "&#124;")
