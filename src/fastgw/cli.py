"""Decides how the command line reads: argv becomes one command; what it means is decided elsewhere."""

import os
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import click

from . import __version__, addresses
from .config.certificates import described, warnings
from .config.load import read, source_of
from .config.record_files import check_files
from .config.route_flags import ROUTE_FLAGS
from .config.summary import ok_line, settings_lines
from .model import Config, ConfigError, Problem
from .published import Source
from .settings import BY_NAME, SETTINGS, Setting

_ROUTE_GROUP = "One route, without a file"
_EXAMPLES = """\b
Examples:
  fastgw serve -c fastgw.toml --workers 4
  FASTGW_KEY=sk-acme-0001 fastgw serve --upstream http://127.0.0.1:9001 \\
      --price 0.001 --balance 100.00 --rate 100/s --burst 200
  fastgw serve --upstream http://127.0.0.1:9001 --no-auth
  OPENAI_API_KEY=sk-… FASTGW_KEY=sk-acme-0001 fastgw serve --provider openai --balance 10.00
  fastgw serve -c fastgw.toml --listen :443 --tls-certificate fullchain.pem --tls-key privkey.pem

Every option may also be given in the environment, --head-timeout as FASTGW_HEAD_TIMEOUT; those below the
first two headings also in [server] of the file, as head_timeout. An option wins over the environment, the
environment over the file.
"""
_GROUP_EPILOG = """\b
Examples:
  fastgw demo
  fastgw serve --upstream http://127.0.0.1:9001 --no-auth
  fastgw check -c fastgw.toml --show
  fastgw topup acme 25.00 --reference invoice-17
  fastgw logs --follow --account acme
"""


class GroupedOption(click.Option):
    """An option with the heading that it stands under in --help."""

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose --help lists options under the headings they name, the others first."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "group", "Options"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=36)


def _setting_option(row: Setting) -> GroupedOption:
    notes = [f"default: {default}"] if (default := row.show_default()) else []
    if row.is_number:
        notes.append(f"a power of two {row.bounds}" if row.kind == "power-of-two" else row.bounds)
    text = f"{row.help} [{'; '.join(notes)}]" if notes else row.help
    alone: dict[str, Any] = {"is_flag": False, "flag_value": "on"} if row.kind == "switch" else {}
    return GroupedOption([row.flag, row.name], metavar=row.metavar, help=text, group=row.group, **alone)


def _route_options() -> list[click.Parameter]:
    options: list[click.Parameter] = []
    for row in ROUTE_FLAGS:
        kind: dict[str, Any] = {"is_flag": True} if row.is_switch else {"metavar": row.metavar}
        multiple = bool(row.separator)
        options.append(
            GroupedOption([row.flag, row.name], help=row.help, group=_ROUTE_GROUP, multiple=multiple, **kind)
        )
    return options


def _file_option(required: bool) -> click.Option:
    return click.Option(
        ["-c", "--config", "config_file"],
        metavar="FILE",
        envvar="FASTGW_CONFIG",
        required=required,
        help="Read this TOML file (FASTGW_CONFIG).",
    )


def _serve(config_file: str | None, **flags: object) -> int:
    loaded = read(config_file, flags, os.environ)
    _warn(loaded.config)
    # Late, and by name: `check` and --help need no compiled core.
    run: Callable[[Config, Source], int] = import_module("fastgw.supervisor").run
    return run(loaded.config, source_of(loaded, config_file, flags, os.environ))


def _check(config_file: str, show: bool) -> int:
    try:
        loaded = read(config_file, {}, os.environ)
        counts = check_files(loaded.config, loaded.locate)
    except ConfigError as error:
        _complain(error)
        return 1
    if show:
        click.echo("\n".join(settings_lines(loaded)))
    for certificate in loaded.config.certificates:
        click.echo(described(certificate))
    _warn(loaded.config)
    click.echo(ok_line(loaded, counts))
    return 0


def _demo(listen: str) -> int:
    try:
        address = addresses.join_listen(*addresses.split_listen(listen))
    except ValueError as error:
        raise ConfigError([Problem("--listen", f'"{listen}": {error}')]) from None
    run: Callable[[str], int] = import_module("fastgw.demo").run
    return run(address)


# Made when they are asked for: a gateway that serves imports neither an HTTP client nor tables.
_ADMIN_COMMANDS = {
    "account": "accounts:COMMAND", "key": "keys:COMMAND", "tag": "tags:COMMAND",
    "topup": "money:TOPUP", "adjust": "money:ADJUST",
    "balance": "money:BALANCE", "entries": "money:ENTRIES", "usage": "calls:USAGE", "logs": "calls:LOGS",
    "models": "models:MODELS", "prompt": "prompts:COMMAND",
    "upstreams": "upstreams:LIST", "upstream": "upstreams:COMMAND",
    "quote": "gateway:QUOTE", "audit": "gateway:AUDIT", "reload": "gateway:RELOAD",
}  # fmt: skip


class Commands(click.Group):
    """The commands of this file, and those that ask a running gateway."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_ADMIN_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ADMIN_COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = _ADMIN_COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"fastgw.commands.{module}"), name)
        return command


def commands() -> click.Group:
    """The whole command line."""
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
    group = Commands(
        "fastgw",
        help="A gateway for APIs that cost money: it decides who calls, how often, and whether they can pay.",
        epilog=_GROUP_EPILOG,
        no_args_is_help=False,
        invoke_without_command=True,
        callback=_usage,
        context_settings=settings,
        params=[
            click.Option(
                ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version,
                help="Show the version and end.",
            )
        ],
    )  # fmt: skip
    group.add_command(
        GroupedCommand(
            "serve",
            callback=_serve,
            short_help="Serve what a file or the options describe.",
            help="Stand in front of HTTP services as a file (-c) or the options alone describe it.",
            epilog=_EXAMPLES,
            params=[_file_option(False), *_route_options(), *map(_setting_option, SETTINGS)],
        )
    )
    group.add_command(
        click.Command(
            "check",
            callback=_check,
            short_help="Check a file without serving.",
            help="Check a file, and the files of keys and accounts it names, without binding a port. "
            "Ends with 1 if anything is wrong, after naming all of it.",
            params=[
                _file_option(True),
                click.Option(["--show"], is_flag=True, help="List every setting with its value and origin."),
            ],
        )
    )
    listen = BY_NAME["listen"]
    group.add_command(
        click.Command(
            "demo",
            callback=_demo,
            short_help="Try it: a gateway, an upstream and accounts.",
            help="Start a gateway with a small upstream and accounts in every state, and show calls to it.",
            params=[
                click.Option(
                    ["--listen"], metavar="ADDRESS", default=listen.show_default(), show_default=True,
                    envvar=listen.variable, help=listen.help,
                )
            ],
        )
    )  # fmt: skip
    return group


def _usage() -> None:
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"fastgw {__version__}")
        context.exit()


def _warn(config: Config) -> None:
    for line in warnings(config.certificates, time.time()):
        click.echo(f"fastgw: warning: {line}", err=True)


def _complain(error: ConfigError) -> None:
    for problem in error.problems:
        click.echo(f"fastgw: error: {problem}", err=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command of `argv`, None for the process's own arguments, and return its exit code.

    A wrong command line or configuration ends with 2 and one line per problem on stderr; what a gateway refuses with
    1, and with 3 where there is none to ask.
    """
    try:
        code = commands().main(args=None if argv is None else list(argv), prog_name="fastgw", standalone_mode=False)
    except ConfigError as error:
        _complain(error)
        return 2
    except click.Abort:
        return 130
    except click.ClickException as error:
        for line in error.format_message().splitlines():
            click.echo(f"fastgw: error: {line}", err=True)
        return error.exit_code
    return code if isinstance(code, int) else 0
