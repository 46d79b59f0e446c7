"""Decides what [[providers]] may say, and makes a provider, its upstream and its terms of each."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from .. import addresses, units
from ..ai import operations, signing
from ..model import Price, Provider, Rate, Secret, Upstream
from ..settings import CONNECTION_FIELDS, TOKEN
from .catalogue import Entry, catalogue
from .environment import expand, field_value, headers
from .fields import (
    Convert,
    Fields,
    Report,
    bucket,
    integer,
    matching,
    missing,
    one_of,
    parse_boolean,
    parse_slug,
    parse_table,
    unknown,
)
from .manual import PROVIDER_UPSTREAM, PROVIDERS
from .prices import MODEL_NAME, Library, parse_markup, read_price
from .toml_lines import Path
from .upstreams import read_group

PLACES = ("region", "resource", "account")
DIALECTS = ("openai", "anthropic", "gemini", "bedrock")
OPERATIONS = tuple(name for name in operations.TABLE if name not in ("chat", "messages", "models", "model"))
BOUNDS = ("max_tokens", "max_completion_tokens")
KEYS_MAX = 1024
_KEYS_FILE_MAX = 1 << 20
TOKENS_MAX = 100_000_000

_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*")
_PLACE = re.compile(r"\{(\w+)\}")
_PLACE_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_OWN_NETWORK = re.compile(r"localhost|[^.]+|.*\.(?:local|localhost|internal|lan|home\.arpa|svc)")
_KEY = re.compile(r"[!-~]{1,4096}")
_URL_RULE = 'must be an http:// or https:// URL without query, like "https://llm.example.com/v1"'
_PLAIN_RULE = (
    "would send keys and prompts over the network in clear: write https://, or name a server that may be called so as "
    'upstream = { targets = ["http://…"] }'
)


class Terms(Struct, frozen=True):
    """What holds for models, of a provider or of one name; None where nothing is said. `ratio` is of the markup."""

    ratio: int | None
    max_tokens: int | None
    limit_tokens: int | None
    hold_step: int | None
    shrink: bool | None

    def over(self, other: "Terms") -> "Terms":
        """These, and the other's where these say nothing."""
        names = self.__struct_fields__
        return Terms(*(getattr(other if getattr(self, name) is None else self, name) for name in names))


class Offer(Struct, frozen=True):
    """A provider as the file has it: what serves, at which terms, and where it says so.

    `prices` is its id in the library or "", `price` that of models which are not there. `models` are names and
    patterns, of the file where it has `said` so. To the names that the library knows, which patterns mean, there are
    `also` others, `without` some.
    """

    provider: Provider
    upstream: Upstream
    path: Path
    prices: str
    price: Price | str | None
    terms: Terms
    models: tuple[str, ...]
    said: bool
    without: tuple[str, ...]
    also: tuple[str, ...]


def read_providers(report: Report, tables: list[Any], environ: Mapping[str, str], library: Library) -> dict[str, Offer]:
    """The providers of a document by name."""
    offers = [_offer(report, index, raw, environ, library) for index, raw in enumerate(tables)]
    return {offer.provider.name: offer for offer in offers if offer.provider.name}


def _offer(report: Report, index: int, raw: Any, environ: Mapping[str, str], library: Library) -> Offer:
    path: Path = ("providers", index)
    fields = Fields(report, path, raw, PROVIDERS.names)
    name = fields.require("name", parse_slug, "")
    entry = _entry(fields, name)
    known = entry or Entry("")
    dialect = fields.take("dialect", one_of(*DIALECTS), known.dialect)
    places = _places(fields, known, dialect, environ)
    url = _url(fields, known, places)
    keys = _keys(fields, known, environ)
    signed = dialect == "bedrock" and any(":" in key.reveal() for key in keys)
    if signed:
        _refuse_unsigned(fields, keys, places)
    provider = Provider(
        name=name,
        dialect=dialect,
        base_path=url.base_path,
        keys=keys,
        key_header=fields.take("key_header", _header_name, known.key_header),
        key_scheme=fields.take("key_scheme", _scheme, known.key_scheme),
        region=places.get("region", "") if signed else "",
        headers=(*known.headers.items(), *headers(fields, "headers", environ)),
        operations=fields.each("operations", one_of(*OPERATIONS)) if "operations" in fields.raw else known.operations,
        stream_usage=fields.take("stream_usage", parse_boolean, known.stream_usage),
        max_tokens_field=fields.take("max_tokens_field", one_of(*BOUNDS), known.max_tokens_field),
        rate=fields.rate(),
        token_rate=_token_rate(fields),
        keys_file=fields.file("keys_file"),
    )
    return Offer(
        provider=provider,
        upstream=_upstream(fields, name, url),
        path=path,
        prices=fields.take("prices", _priced_by(library), known.prices),
        price=read_price(fields),
        terms=read_terms(fields),
        models=fields.each("models", parse_pattern) if "models" in fields.raw else known.models,
        said="models" in fields.raw,
        without=known.without,
        also=known.also,
    )


def _entry(fields: Fields, name: str) -> Entry | None:
    """What is known of it by its type or its name."""

    def known(value: Any) -> str:
        if isinstance(value, str) and value in catalogue():
            return value
        raise ValueError(missing("known provider", list(catalogue())))

    return catalogue().get(fields.take("type", known, name))


# Where it is


class Url(Struct, frozen=True):
    """A provider's URL in two: the `server`, "" where it was refused, and the path before its endpoints."""

    server: str
    base_path: str


def _url(fields: Fields, known: Entry, places: Mapping[str, str]) -> Url:
    if "url" in fields.raw:
        return fields.take("url", _parse_url, Url("", ""))
    if not known.url:
        if fields.is_table:
            name = str(fields.raw.get("name", ""))
            rule = f"is missing, or the name is no known provider's: {unknown(name, sorted(catalogue()))}"
            fields.report.refuse((*fields.path, "url"), rule)
        return Url("", "")
    wanted = _PLACE.findall(known.url)
    for place in wanted:
        if place not in places and place not in fields.raw:
            variable = known.needs.get(place)
            advice = f", or set {variable} in the environment" if variable else ""
            fields.report.refuse((*fields.path, place), f"is missing: write it{advice}")
    if any(place not in places for place in wanted):
        return Url("", "")
    return _parse_url(_PLACE.sub(lambda match: places[match[1]], known.url))


def _places(fields: Fields, known: Entry, dialect: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What the URL of the provider leaves open, by name: of the table, or of the environment."""
    wanted = set(_PLACE.findall(known.url)) if "url" not in fields.raw else set()
    wanted |= {"region"} if dialect == "bedrock" else set()
    found = {}
    for place in PLACES:
        rule = f"must be the name of a {place}: letters, digits and -"
        value = fields.take(place, matching(_PLACE_VALUE, rule), "")
        if place in fields.raw and place not in wanted:
            fields.report.refuse((*fields.path, place), "has no meaning for this provider", fields.raw[place])
        if place not in fields.raw and _PLACE_VALUE.fullmatch(text := environ.get(known.needs.get(place, ""), "")):
            value = text
        if value:
            found[place] = value
    return found


def _parse_url(value: Any) -> Url:
    text = value if isinstance(value, str) else ""
    scheme, _, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    base_path = (slash + path).rstrip("/")
    if scheme not in ("http", "https") or not _BASE_PATH.fullmatch(base_path) or "@" in authority:
        raise ValueError(_URL_RULE)
    try:
        parts = addresses.split_target(f"{scheme}://{authority}")
    except ValueError:
        raise ValueError(_URL_RULE) from None
    if not parts.tls and not _is_own_network(parts.host):
        raise ValueError(_PLAIN_RULE)
    return Url(f"{scheme}://{authority}", base_path)


def _is_own_network(host: str) -> bool:
    """Whether a host is this machine or one of a private network, as far as its name or address tells."""
    return addresses.is_private(host) or bool(_OWN_NETWORK.fullmatch(host))


def _upstream(fields: Fields, name: str, url: Url) -> Upstream:
    raw: dict[str, Any] = fields.take("upstream", parse_table, {})
    inner = Fields(fields.report, (*fields.path, "upstream"), raw, PROVIDER_UPSTREAM.names)
    if "targets" not in raw and "targets_file" not in raw and url.server:
        inner.raw = {**raw, "targets": [url.server]}
    elif not url.server and "targets" not in raw:
        inner.raw = {**raw, "targets": ["http://127.0.0.1:9"]}  # it is refused for its URL already
    return read_group(inner, name)


# Its keys


def _keys(fields: Fields, known: Entry, environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """Those of the table, of the file that it names, or of the variable that the provider is known for."""
    found: dict[str, Path] = {}
    raw = fields.raw.get("keys", [])
    path: Path = (*fields.path, "keys")
    if not isinstance(raw, list):
        fields.report.refuse(path, "must be an array")
        raw = []
    for index, value in enumerate(raw):
        _add(fields, found, (*path, index), value, environ)
    if file := fields.file("keys_file"):
        for number, line in _lines(fields, file):
            _add(fields, found, (*fields.path, "keys_file"), line, {}, f"line {number} ")
    if "keys" not in fields.raw and "keys_file" not in fields.raw and known.key:
        variable = next((name for name in known.key if environ.get(name)), None)
        if variable is None:
            rule = f"is missing: set {' or '.join(known.key)} in the environment, or write keys or keys_file"
            fields.report.refuse(path, rule)
        else:
            _add(fields, found, path, environ[variable], {}, f"{variable} ")
    if len(found) > KEYS_MAX:
        fields.report.refuse(path, f"there are {len(found)} keys, at most {KEYS_MAX} are possible")
    return tuple(map(Secret, found))


def _add(
    fields: Fields, found: dict[str, Path], path: Path, value: Any, environ: Mapping[str, str], which: str = ""
) -> None:
    try:
        key = expand(value, environ) if not which else field_value(value)
        if not _KEY.fullmatch(key):
            raise ValueError("must have no space (value not shown)")
        if key in found:
            raise ValueError("is there twice")
        found[key] = path
    except ValueError as error:
        fields.report.refuse(path, f"{which}{error}")


def _lines(fields: Fields, file: str) -> list[tuple[int, str]]:
    """The lines of a file of keys with their numbers, but for empty ones and comments."""
    try:
        with open(file, encoding="ascii") as opened:
            text = opened.read(_KEYS_FILE_MAX + 1)
    except OSError as error:
        fields.report.refuse((*fields.path, "keys_file"), f"cannot be read: {error.strerror}", fields.raw["keys_file"])
        return []
    except UnicodeDecodeError:
        fields.report.refuse((*fields.path, "keys_file"), "is not ASCII", fields.raw["keys_file"])
        return []
    if len(text) > _KEYS_FILE_MAX:
        fields.report.refuse((*fields.path, "keys_file"), "is longer than 1MiB", fields.raw["keys_file"])
        return []
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    found = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not found:
        fields.report.refuse((*fields.path, "keys_file"), "holds no key", fields.raw["keys_file"])
    return found


def _refuse_unsigned(fields: Fields, keys: tuple[Secret, ...], places: Mapping[str, str]) -> None:
    """What is missing to sign requests to AWS."""
    path: Path = (*fields.path, "keys")
    if not all(2 <= len(parts := key.reveal().split(":")) <= 3 and all(parts) for key in keys):
        fields.report.refuse(path, "must be ID:SECRET or ID:SECRET:TOKEN, all of them, or keys of Bedrock's own")
    if "region" not in places and "url" in fields.raw and "region" not in fields.raw:
        fields.report.refuse((*fields.path, "region"), "is missing: requests are signed for one")
    if not signing.available():
        fields.report.refuse(path, "are of AWS, and signed with botocore: pip install 'fastgw[bedrock]'")


def _header_name(value: Any) -> str:
    if isinstance(value, str) and TOKEN.fullmatch(value) and value.lower() not in CONNECTION_FIELDS:
        return value.lower()
    raise ValueError('must be the name of a header, like "x-api-key"')


def _scheme(value: Any) -> str:
    if isinstance(value, str) and (value == "" or TOKEN.fullmatch(value.rstrip(" "))):
        return f"{value.rstrip(' ')} " if value else ""
    raise ValueError('must be a word like "Bearer", or ""')


# Its terms


def read_terms(fields: Fields) -> Terms:
    """What a table says of markup and tokens."""
    terms = Terms(
        ratio=fields.take("markup", parse_markup, None),
        max_tokens=fields.take("max_tokens", integer(1, TOKENS_MAX), None),
        limit_tokens=fields.take("limit_tokens", integer(0, TOKENS_MAX), None),
        hold_step=fields.take("hold_step", integer(0, TOKENS_MAX), None),
        shrink=fields.take("shrink", parse_boolean, None),
    )
    if terms.limit_tokens and terms.max_tokens and terms.max_tokens > terms.limit_tokens:
        rule = f"must be at most limit_tokens, {terms.limit_tokens}"
        fields.report.refuse((*fields.path, "max_tokens"), rule, terms.max_tokens)
    return terms


def _token_rate(fields: Fields) -> Rate | None:
    def convert(value: Any) -> Rate:
        try:
            return bucket(units.parse_rate(value), None)
        except ValueError:
            raise ValueError('must be a whole number of tokens per s, m, h or d, written like "200000/m"') from None

    return fields.take("token_rate", convert, None)


def _priced_by(library: Library) -> Convert[str]:
    def convert(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError('must be the name of a provider in genai-prices, like "openai"')
        if value in (known := library.providers()):
            return value
        raise ValueError(unknown(value, known))

    return convert


def parse_pattern(value: Any) -> str:
    """A model's name, or a pattern of names. Raises `ValueError`."""
    if isinstance(value, str) and MODEL_NAME.fullmatch(value.replace("*", "x")):
        return value
    raise ValueError("must be the name of a model, 1 to 127 of A-Z a-z 0-9 . _ : / @ + -, or a pattern of names with *")
