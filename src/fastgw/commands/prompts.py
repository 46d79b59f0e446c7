"""Decides how `fastgw prompt` reads and what it shows of the prompts of a file."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from ..ai.prompt_document import document
from ..config.load import read
from ..model import Config, Prompt
from ..units import format_money
from . import prompt_trial
from .options import examples
from .outcome import EXIT_CODES, OK, Refused
from .prompt_trial import Trial
from .show import field, print_facts, print_json, print_table

_COLUMNS = (
    field("name", "prompt"),
    field("version"),
    field("current"),
    field("path"),
    field("model"),
    field("price", right=True),
    field("tokens"),
    field("inputs"),
)


class _Command(click.Command):
    """A command about the prompts of a file."""

    def __init__(self, name: str, *, params: Sequence[click.Parameter] = (), epilog: str = "", **rest: Any) -> None:
        file = click.Option(
            ["-c", "--config", "config_file"], metavar="FILE", envvar="FASTGW_CONFIG", required=True,
            help="The file that they are in (FASTGW_CONFIG).",
        )  # fmt: skip
        super().__init__(name, params=[*params, file], epilog=f"{epilog}\n{EXIT_CODES}", **rest)

    def invoke(self, ctx: click.Context) -> Any:
        config = read(ctx.params.pop("config_file"), {}, os.environ).config
        return ctx.invoke(self.callback, config, **ctx.params) if self.callback else None


def _find(config: Config, name: str, version: str | None) -> Prompt:
    """The version that is named, or the current one, or, where none is, the first."""
    named = [prompt for prompt in config.prompts if prompt.name == name]
    if not named:
        known = ", ".join(dict.fromkeys(prompt.name for prompt in config.prompts))
        raise Refused(f'there is no prompt "{name}"; there is {known or "none"}')
    for prompt in sorted(named, key=lambda prompt: prompt.current, reverse=True):
        if version in (None, prompt.version):
            return prompt
    raise Refused(f'{name} has no version "{version}"; there is {", ".join(prompt.version for prompt in named)}')


def _item(prompt: Prompt) -> dict[str, Any]:
    return {
        "name": prompt.name,
        "version": prompt.version,
        "current": prompt.current,
        "path": prompt.path if prompt.current else prompt.own_path,
        "model": prompt.model,
        "price": format_money(prompt.price_nanos),
        "tokens": "included" if prompt.included else "charged",
        "inputs": list(msgspec.json.decode(prompt.inputs).get("properties", ())),
    }


def _list(config: Config, as_json: bool) -> int:
    items = list(map(_item, config.prompts))
    if as_json:
        print_json(items)
    else:
        print_table(items, _COLUMNS, "There are no prompts.")
    return OK


def _show(config: Config, as_json: bool, name: str, version: str | None) -> int:
    prompt = _find(config, name, version)
    written = {name: msgspec.json.decode(text) for name, text in _written(prompt).items()}
    item = {**_item(prompt), "description": prompt.description, "listed": prompt.listed, **written}
    if as_json:
        print_json(item)
        return OK
    print_facts((name, value) for name, value in item.items() if name not in written)
    for name, value in written.items():
        if name != "messages":
            print(f"\n{name}\n{json.dumps(value, indent=2)}")
    print()
    prompt_trial.print_messages(written["messages"])
    return OK


def _written(prompt: Prompt) -> Mapping[str, str]:
    said = {"parameters": prompt.parameters, "inputs": prompt.inputs, "output": prompt.output}
    return {name: text for name, text in said.items() if text not in ("", "{}")} | {"messages": prompt.messages}


def _openapi(config: Config) -> int:
    click.echo(document(config))
    return OK


def _try(
    config: Config,
    name: str,
    version: str | None,
    given: Sequence[str],
    inputs_file: str | None,
    dry_run: bool,
    key: str | None,
    url: str | None,
) -> int:
    prompt = _find(config, name, version)
    trial = Trial(config, prompt, prompt_trial.inputs_of(prompt, given, inputs_file))
    if dry_run:
        trial.show()
    elif key is not None:
        trial.call_gateway(key, url)
    else:
        trial.call_provider()
    return OK


_NAME = click.Argument(["name"])
_VERSION = click.Option(["--version"], metavar="VERSION", help="Which one. [default: the current one]")
_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")

COMMAND = click.Group(
    "prompt",
    short_help="List prompts, and try them.",
    help="Prompts are called like any other service: inputs in, an answer out. They are [[prompts]] of the file.",
    commands=[
        _Command(
            "list",
            callback=_list,
            short_help="List prompts.",
            help="List the prompts of a file, every version, and where each is called.",
            params=[_JSON],
            epilog=examples("fastgw prompt list -c fastgw.toml"),
        ),
        _Command(
            "show",
            callback=_show,
            short_help="Show one prompt.",
            help="Show what a prompt says, and the schemas of its inputs and its answer.",
            params=[_JSON, _NAME, _VERSION],
            epilog=examples("fastgw prompt show summarize --version 2"),
        ),
        _Command(
            "openapi",
            callback=_openapi,
            short_help="Describe prompts for programs.",
            help="Print what the gateway tells at /prompts/openapi.json.",
            epilog=examples("fastgw prompt openapi -c fastgw.toml > openapi.json"),
        ),
        _Command(
            "try",
            callback=_try,
            short_help="Try a prompt.",
            help="Ask the prompt's model, as a call would: at its provider itself, with the key of the file, or "
            "through a gateway that runs, with a caller's key. The answer comes as it is written; then, on stderr, "
            "what it has used and what a call like it costs.",
            params=[
                _NAME,
                _VERSION,
                click.Option(
                    ["-i", "--input", "given"], multiple=True, metavar="NAME=VALUE",
                    help="An input; NAME=@FILE is what a file holds. May be repeated.",
                ),
                click.Option(["--inputs", "inputs_file"], metavar="FILE",
                             help="All inputs as a JSON object; - is stdin."),
                click.Option(["--dry-run"], is_flag=True, help="Show what would be asked and held; ask nobody."),
                click.Option(["--key"], metavar="KEY", envvar="FASTGW_KEY", help="Through a gateway, as this caller "
                             "(FASTGW_KEY)."),
                click.Option(["--url"], metavar="URL", help="Where it is. [default: where the file says]"),
            ],
            epilog=examples(
                "fastgw prompt try summarize -i text=@article.txt -i words=30",
                "fastgw prompt try summarize --inputs article.json --dry-run",
                "fastgw prompt try summarize -i text='Once …' --version 2 --key sk-acme-0001",
            ),
        ),
    ],
)  # fmt: skip
