"""Decides how a prompt is tried from the shell: what is shown of it, whom it asks, and how the answer is told."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import httpx
import msgspec

from .. import __version__, upstream_tls
from .._usage import Fare, Tariff, Usage
from ..ai import calls, operations, signing, sse
from ..ai.canonical import BodyError, Failure
from ..ai.prompts import InputError, Rendering, Shaping, problem
from ..ai.relay import Sent
from ..model import Candidate, Config, Model, Prompt, Provider, Target
from ..units import format_money
from .outcome import Refused, Unreachable
from .place import url_of
from .show import is_terminal, print_facts

CHAT = operations.TABLE["chat"]
TIMEOUT_S = 600.0
CONNECT_TIMEOUT_S = 10.0
VERSION = {"anthropic-version": "2023-06-01"}
EVENTS = ("text/event-stream", "application/vnd.amazon.eventstream")


def inputs_of(prompt: Prompt, given: Sequence[str], inputs_file: str | None) -> Any:
    """The inputs that a command line has: of a file, and by name."""
    inputs = _read_inputs(inputs_file) if inputs_file else {}
    properties = msgspec.json.decode(prompt.inputs).get("properties", {})
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals:
            raise click.BadParameter(f'"{pair}" must be NAME=VALUE')
        if text.startswith("@"):
            text = _text_of(text[1:])
        if isinstance(inputs, dict):
            inputs[name] = _value(properties.get(name), text)
    return inputs


def _read_inputs(file: str) -> Any:
    try:
        return msgspec.json.decode(sys.stdin.read() if file == "-" else _text_of(file))
    except msgspec.DecodeError as error:
        raise click.BadParameter(f"{file} holds no JSON: {error}") from None


def _text_of(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read()
    except OSError as error:
        raise click.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{file} is not UTF-8") from None


def _value(said: Any, text: str) -> Any:
    """What a text means for an input: itself where that is a string, else the JSON that it is."""
    kind = said.get("type") if isinstance(said, dict) else None
    if kind is None or kind == "string" or (isinstance(kind, list) and "string" in kind):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text  # the schema has better words for it


def print_messages(messages: Sequence[Any]) -> None:
    for message in messages:
        click.secho(message["role"], bold=True)
        content = message["content"]
        said = content if isinstance(content, str) else msgspec.json.format(msgspec.json.encode(content)).decode()
        click.echo("".join(f"  {line}\n" for line in _safe(said).splitlines()))


def _safe(text: str) -> str:
    """A text that may hold anybody's words, without what a terminal would obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class Trial:
    """One call of a prompt."""

    def __init__(self, config: Config, prompt: Prompt, inputs: Any) -> None:
        self.config = config
        self.prompt = prompt
        self.rendering = Rendering(prompt)
        self.inputs = inputs
        try:
            self.body = self.rendering.completion(inputs, stream=True)
            self.call = calls.read(CHAT, "chat/completions", "", "application/json", self.body)
        except InputError as error:
            lines = (f"{each.place}: {each.message}" if each.place else each.message for each in error.wrong)
            raise Refused("\n".join(lines)) from None
        except BodyError as error:
            raise Refused(str(error)) from None
        self.model: Model = next(model for model in config.models if model.name == prompt.model)
        self.candidate, self.provider = self._asked()

    def _asked(self) -> tuple[Candidate, Provider]:
        """Who is asked first."""
        providers = {provider.name: provider for provider in self.config.providers}
        for candidate in self.model.candidates:
            if self.call.serves(providers[candidate.provider]):
                return candidate, providers[candidate.provider]
        raise Refused(f"no provider of {self.model.name} has chat completions")

    @property
    def most(self) -> int:
        """Tokens that may be generated."""
        return self.call.asked.max_tokens or self.model.max_tokens

    def held_nanos(self) -> int:
        """What a call like this one holds at most, at who is asked first."""
        if self.prompt.included:
            return self.prompt.price_nanos
        asked, fare = self.call.asked, Fare()
        fare.rated(Tariff(self.candidate.price), asked.usage, asked.input_tokens)
        return self.prompt.price_nanos + fare.most_nanos(self.most)

    # Nobody is asked

    def show(self) -> None:
        """What would be asked, and held."""
        said = msgspec.json.decode(self.body)
        print_messages(said["messages"])
        kept = {name: value for name, value in said.items() if name not in ("model", "messages", "stream")}
        facts: list[tuple[str, object]] = [
            ("model", f"{self.model.name} ({self.candidate.provider}/{self.candidate.model})"),
            ("parameters", msgspec.json.encode(kept).decode()),
            ("input", f"about {self.call.asked.likely_tokens:,} tokens"),
            ("output", f"at most {self.most:,} tokens"),
            ("holds", f"at most {format_money(self.held_nanos())}"),
        ]
        print_facts(facts)

    # The provider

    def call_provider(self) -> None:
        """Ask who would be asked first, with its key of the file."""
        sent = self.call.prepare(self.provider, self.candidate, self.most)
        relay = Shaping(sent.relay, self.rendering, problem)
        target = self._target()
        who = f"{self.candidate.provider}/{self.candidate.model}"
        scheme = "https" if target.tls else "http"
        begun = time.monotonic()
        with _client(target, self._verify(target)) as http, _told(who):
            path = self.provider.base_path + sent.path
            headers = self._headers(target, path, sent)
            with http.stream(
                "POST", f"{scheme}://{target.authority}{path}", content=sent.body, headers=headers
            ) as response:
                if not response.is_success:
                    failure, _ = relay.failed(response.status_code, response.read())
                    raise Refused(f"{who} answers {response.status_code}: {_safe(failure.message)}")
                _print_stream(_relayed(relay, response))
        usage, estimated = relay.charged(self.call.asked.usage)
        self._tell(usage, estimated, who, time.monotonic() - begun)

    def _target(self) -> Target:
        upstream = next(each for each in self.config.upstreams if each.name == self.provider.name)
        for target in upstream.targets:
            if not target.srv:
                return target
        raise Refused(f"{self.provider.name} has no server of a fixed name; try it through a gateway, with --key")

    def _verify(self, target: Target) -> Any:
        upstream = next(each for each in self.config.upstreams if each.name == self.provider.name)
        return upstream_tls.context(upstream.tls) if target.tls else False

    def _headers(self, target: Target, path: str, sent: Sent) -> dict[str, str]:
        provider = self.provider
        headers = dict(VERSION) if provider.dialect == "anthropic" else {}
        headers |= {"accept": "text/event-stream", "content-type": "application/json"}
        headers |= {"user-agent": f"fastgw/{__version__}", **dict(provider.headers)}
        lines = sent.fields.decode("latin-1")
        if provider.keys:
            secret = provider.keys[0].reveal()
            if provider.region:
                signer = signing.Signer(secret, provider.region)
                lines += signer.fields(target.authority, path, sent.body).decode("latin-1")
            else:
                headers[provider.key_header] = provider.key_scheme + secret
        for line in lines.splitlines():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _tell(self, usage: Usage, estimated: bool, who: str, seconds: float) -> None:
        tokens = Tariff(self.candidate.price).cost_nanos(usage)
        charged = self.prompt.price_nanos + (0 if self.prompt.included else tokens)
        _summary([
            f"in={usage.input} out={usage.output}" + (" (estimated)" if estimated else ""),
            f"a call costs {format_money(charged)}, of which tokens {format_money(tokens)}"
            if not self.prompt.included
            else f"a call costs {format_money(charged)}; its tokens {format_money(tokens)}",
            f"by {who}",
            f"in {seconds:.1f} s",
        ])  # fmt: skip

    # A gateway

    def call_gateway(self, key: str, url: str | None) -> None:
        """Call the prompt as a caller would."""
        base = (url or self._listen()).rstrip("/")
        headers = {"authorization": f"Bearer {key}", "accept": "text/event-stream"}
        if self.prompt.hosts:
            headers["host"] = self.prompt.hosts[0]
        begun = time.monotonic()
        with (
            httpx.Client(timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S), trust_env=False) as http,
            _told(base),
            http.stream("POST", base + self.prompt.own_path, json=self.inputs, headers=headers) as response,
        ):
            if not response.is_success:
                raise Refused(_problem(response.status_code, response.read()))
            facts = _print_stream(response.iter_raw())
            who = response.headers.get("x-fastgw-model", "")
        tokens = f"in={facts.get('in', '?')} out={facts.get('out', '?')}"
        cost = f"charged {facts.get('cost', '?')}, left {facts.get('balance', '?')}"
        _summary([tokens, cost, f"by {who}", f"in {time.monotonic() - begun:.1f} s"])

    def _listen(self) -> str:
        address = self.config.server.listen_address
        if not address or address.startswith(("unix:", "systemd")):
            raise Refused("the file does not say where the gateway listens; give --url")
        return url_of(address)


def _client(target: Target, verify: Any) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=target.socket) if target.socket else httpx.HTTPTransport(verify=verify)
    return httpx.Client(
        timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S), trust_env=False, transport=transport
    )


@contextmanager
def _told(who: str) -> Iterator[None]:
    """What goes wrong on the way there, in words."""
    try:
        yield
    except httpx.TransportError as error:
        reason = str(error).rpartition("] ")[2] or type(error).__name__
        raise Unreachable(f"{who} does not answer: {reason}") from None


def _relayed(relay: Shaping, response: httpx.Response) -> Iterator[bytes]:
    """The provider's answer as the stream of a prompt."""
    try:
        if not response.headers.get("content-type", "").startswith(EVENTS):
            body = relay.whole(response.read())
            if relay.mistake is not None:
                yield relay.stop(relay.mistake)
                return
            told = msgspec.json.decode(body)
            text = told["text"] if not relay.structured else body.decode()
            yield sse.event(msgspec.json.encode({"text": text})) + sse.DONE
            return
        for data in response.iter_raw():
            yield b"".join(portion.data for portion in relay.feed(data))
        if not relay.ended:
            yield b"".join(portion.data for portion in relay.finish())
    except ValueError as error:
        raise Refused(f"the answer makes no sense: {error}") from None
    if not relay.ended:
        yield relay.stop(Failure(502, "server", "The answer ends before its end."))


def _print_stream(chunks: Iterator[bytes]) -> dict[str, str]:
    """Show the answer as it comes; what its last comment says. Raises Refused where it ends in an error."""
    blocks = sse.Blocks()
    told: dict[str, str] = {}
    done = False
    for chunk in chunks:
        for block in blocks.feed(chunk):
            if block.startswith(b": fastgw "):
                told = dict(pair.split("=", 1) for pair in block.decode().removeprefix(": fastgw ").split())
            data = sse.data_of(block)
            if data == b"[DONE]":
                done = True
            elif data:
                _print_event(msgspec.json.decode(data))
    if not done:
        raise Refused("the answer was cut")
    click.echo()
    return told


def _print_event(event: Any) -> None:
    if "text" not in event:
        click.echo()
        raise Refused(_safe(str(event.get("detail", event))))
    text = event["text"]
    click.echo(_safe(text) if is_terminal() else text, nl=False)
    sys.stdout.flush()
    if event.get("truncated"):
        click.echo("\nfastgw: the answer was cut at max_tokens", err=True)


def _problem(status: int, body: bytes) -> str:
    try:
        told = msgspec.json.decode(body)
        others = [f"{each['pointer']}: {each['detail']}" for each in told.get("errors", ())]
        return _safe("\n".join([f"{told['code']}: {told['detail']}", *others[1:]]))
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"the gateway answers {status}"


def _summary(parts: Sequence[str]) -> None:
    click.echo(f"fastgw: {', '.join(parts)}", err=True)
