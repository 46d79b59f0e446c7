"""Decides which fields the tables of the file have, and what people read about each, in docs/configuration.md.

The readers take the names they allow from here, so nothing can be known and not described. What a field may hold is
not written down twice: it is the reader's own rule, which `fastgw.config.reference` asks for.
"""

from msgspec import Struct


class Row(Struct, frozen=True):
    """One field.

    `default` is what leaving it out means, as the file would say it, or a word in parentheses where no value says it;
    "" for a field that must be there. `example` is a value that is accepted, beside the examples of the rows that are
    named by `needs`. `form` stands for the reader's rule where that speaks of the rest of the file.
    """

    name: str
    help: str
    default: str = ""
    example: str = ""
    needs: tuple[str, ...] = ()
    form: str = ""


class Table(Struct, frozen=True):
    """One table: where it stands, `upstreams.health` for `[upstreams.health]` below `[[upstreams]]`; what it is for."""

    name: str
    about: str
    rows: tuple[Row, ...]
    is_array: bool = True
    restart: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(row.name for row in self.rows)

    @property
    def heading(self) -> str:
        """As the file has it."""
        return f"[[{self.name}]]" if self.is_array else f"[{self.name}]"


LISTENERS = Table("listeners", "Where clients connect, where `listen` does not say enough.", (
    Row("address", "A port, of all interfaces where no host is named; `[::]` is those of IPv6. A Unix socket has the "
        "mode 0660. `systemd` is every socket that systemd passes and no other listener names.",
        example='"[::]:8443"'),
    Row("tls", "Whether it is HTTPS, with a certificate of `[[certificates]]`.", "false", "true"),
    Row("proxy_protocol", "Whether every connection begins with a PROXY header, version 1 or 2, of a proxy among "
        "`trusted_proxies`, or of anyone on a Unix socket.", "false", "true"),
    Row("client_certificates", "Whether clients may, or must, show a certificate issued by one of `client_ca`.",
        '"off"', '"required"', ("tls",)),
), restart=True)  # fmt: skip

CERTIFICATES = Table("certificates", "What clients of `tls` listeners are shown, by the name that they ask for; the "
                     "first one where none of them has it.", (
    Row("certificate", "The file of the certificate and its chain, in PEM.", example='"fullchain.pem"'),
    Row("key", "The file of its key.", example='"privkey.pem"'),
))  # fmt: skip

UPSTREAMS = Table("upstreams", "A named group of servers, and how calls are spread over them.", (
    Row("name", "What routes call it.", example='"billing"'),
    Row("targets", "The servers: URLs, or tables of a URL and what is said of that server alone. `https://` is "
        "verified; `unix:/run/app.sock` is a socket; `srv+http://_http._tcp.example.com` are the servers that SRV "
        "records name.",
        "[]", '["http://10.0.0.1:9000", { url = "https://api.example.com", weight = 3 }]',
        form="an array of them"),
    Row("targets_file", "A file of further targets, one a line or as JSON, read again whenever it changes.",
        '(none)', '"targets.json"', form="the path of a file"),
    Row("balance", "Who gets the next call: each in turn by weight; who has the fewest calls in flight; the quicker of "
        "two picked at random; or always the same one for the same `hash_by`.", '"round_robin"', '"hash"'),
    Row("hash_by", "What decides with `balance = \"hash\"`: the caller's key, or a header of the request.",
        '"key"', '"x-session"', ("balance",)),
    Row("slow_start", "How long a server that is new or back gets less than its share.", "0", '"30s"'),
    Row("connections_max", "Connections to one server, of all workers together; 0 for no limit but "
        "`upstream_connections_max`.", "0", "200"),
    Row("requests_max", "Calls in flight at one server, of all workers together; 0 for no limit.", "0", "100"),
    Row("pending_max", "Calls of each worker that may wait for a server with room; others get 503.", "1024", "32"),
    Row("pending_timeout", "How long each of them may wait.", '"1s"', '"250ms"'),
    Row("retries", "How often a call is tried again, at another server if there is one, where nothing had been sent or "
        "the method is idempotent. A POST reaches an upstream once at most.", "2", "1"),
    Row("retry_budget", "Most repeats of what may have been sent, in percent of the calls; five a second are always "
        "allowed.", "20", "10"),
    Row("retry_on", "What is tried again once a request was sent: a connection lost before the answer, a timeout, or "
        "one of these statuses.", '["reset"]', '["reset", "503"]',
        form='an array of `"reset"`, `"timeout"`, `"502"`, `"503"`, `"504"`'),
    Row("ejection", "When a server is passed over because calls to it fail; `false` for never.",
        "(on, as below)", "{ failures = 3 }", form="a table, see below, or `false`"),
    Row("health", "Checks beside the calls, and what they ask; without it there are none.",
        "(none)", '{ path = "/healthz" }', form="a table, see below"),
    Row("tls", "How `https://` targets are verified.", "(the system's CAs)", '{ ca = "ca.pem" }',
        form="a table, see below"),
))  # fmt: skip

TARGETS = Table("upstreams.targets", "One server, where more is to be said of it than its URL.", (
    Row("url", "Where it is.", example='"http://10.0.0.1:9000"', form="as above"),
    Row("weight", "Its share beside the others; 0 for no new calls.", "1", "3", form="an integer from 0 to 1000"),
    Row("expand", "Whether each address that its name has is a server of its own.", "false", "true",
        form="`true` or `false`"),
))  # fmt: skip

EJECTION = Table("upstreams.ejection", "When a server is passed over because calls to it fail: refused or lost "
                 "connections, timeouts, answers of 502, 503 and 504.", (
    Row("failures", "So many in a row.", "5", "3"),
    Row("duration", "For how long at first; each time in a row it is longer.", '"10s"', '"5s"'),
    Row("duration_max", "For how long at most.", '"5m"', '"1m"'),
    Row("share", "Most servers that are passed over at once, in percent; the last one never is.", "50", "30"),
), is_array=False)  # fmt: skip

HEALTH = Table("upstreams.health", "Checks of each server, made once for all workers: a GET, and any answer below 400 "
               "is good.", (
    Row("path", "What is asked for.", example='"/healthz"'),
    Row("interval", "How often.", '"5s"', '"2s"'),
    Row("timeout", "How long an answer may take.", '"2s"', '"500ms"'),
    Row("unhealthy_after", "So many bad ones in a row, and the server gets no new calls.", "3", "2"),
    Row("healthy_after", "So many good ones in a row, and it gets them again.", "2", "1"),
), is_array=False)  # fmt: skip

TLS = Table("upstreams.tls", "How servers at `https://` are verified, and who the gateway is to them.", (
    Row("ca", "A file of the certificates to trust, in PEM, instead of the system's.", "(the system's)", '"ca.pem"'),
    Row("certificate", "A file with the gateway's own certificate and its chain.", "(none)", '"gateway.pem"', ("key",)),
    Row("key", "The file of its key.", "(none)", '"gateway-key.pem"', ("certificate",)),
    Row("server_name", "The name that is asked for by SNI and must be in the certificate.",
        "(that of the URL)", '"api.example.com"'),
    Row("verify", "`false` takes any certificate: for a test, never over a network.", "true", "false"),
), is_array=False)  # fmt: skip

ROUTES = Table("routes", "What a call is for: the longest `path` of the right host and method wins. It says where the "
               "call goes, what it needs and what it costs.", (
    Row("name", "In logs, metrics, plans and quotes.", example='"api"'),
    Row("path", "All paths that begin with it, in whole segments.", example='"/v1/"'),
    Row("hosts", "Only for these values of Host.", "(any)", '["api.example.com"]',
        form="an array of host names without port"),
    Row("methods", "Only for these methods.", "(any)", '["GET", "POST"]', form="an array of methods in upper case"),
    Row("upstream", "The name of the upstream.", "(none, with `models`)", '"billing"',
        form="the name of one of `[[upstreams]]`"),
    Row("models", "Instead of an upstream, the models that it leads to, in OpenAI's and in Anthropic's API; `*` is for "
        "anything in a name. `path` ends where theirs has `/v1/`.", "(none, with `upstream`)", '["*"]',
        form="an array of names"),
    Row("auth", "Who may call: who has a key, or everyone, without limits and without cost.", '"key"', '"none"'),
    Row("price", "Held before the call, and what it costs unless the answer says so.", '"0"', '"0.001"'),
    Row("rate", "How often each key may call; a key's own and the plan's hold as well.", "(no limit)", '"100/s"'),
    Row("burst", "How many calls at once.", "(the number of `rate`)", "200", ("rate",)),
    Row("dialect", "How refusals are worded: RFC 9457, or as the OpenAI or Anthropic API.", '"problem"', '"openai"'),
    Row("forward_key", "Whether the upstream sees the caller's key.", "false", "true"),
    Row("preserve_host", "Whether the upstream sees the caller's Host instead of its own.", "false", "true"),
    Row("set_headers", "Set on the upstream's request, in place of the caller's; `${NAME}` is from the environment.",
        "{}", '{ authorization = "Bearer ${PROVIDER_KEY}" }', form="a table of names and values"),
    Row("charge", "Which calls are charged: those answered below 500, those answered 2xx, or all that were sent.",
        '"served"', '"2xx"'),
    Row("cost_header", "The field of the upstream's answer that says the cost, as decimal money, at most the price; "
        "the caller does not see it.", "(none)", '"x-cost"', ("price",)),
    Row("units_header", "The field that says a number of units, instead.", "(none)", '"x-units"',
        ("unit_price", "price")),
    Row("unit_price", "What one of these costs.", "(none)", '"0.000002"', ("units_header", "price")),
    Row("idempotency", "How long an Idempotency-Key is remembered: it is charged once.", "0", '"24h"'),
    Row("upgrades", "Protocols that a connection may go over to by `Connection: Upgrade`; never `h2c`.",
        '["websocket"]', "[]", form="an array of protocol names"),
    Row("minute_price", "What each minute begun of such a tunnel costs, beside the price; held one minute ahead.",
        "(none)", '"0.001"'),
    Row("mib_price", "What a MiB costs that such a tunnel carries, both directions together, to the byte.",
        "(none)", '"0.0002"'),
))  # fmt: skip

ACCOUNTS = Table("accounts", "Who pays. Those of the file live beside those made by the admin API.", (
    Row("name", "For people and for the API.", example='"acme"'),
    Row("balance", "What the file grants in all; `fastgw topup` adds to it.", '"0"', '"100.00"'),
    Row("credit", "How far below zero it may go.", '"0"', '"10.00"'),
    Row("plan", "The name of its plan.", "(none)", '"pro"', form="the name of one of `[[plans]]`"),
    Row("expires", "When its subscription ends.", "(never)", "2027-01-01T00:00:00Z"),
    Row("suspended", "Whether its calls are refused.", "false", "true"),
    Row("tag_budget", "Given to a tag that is not known yet: it is made at its first use. Without it such a tag is "
        "refused.", "(none)", '"5.00"'),
    Row("tag_budget_period", "In each of these calendar windows, in the time zone of the plan.",
        "(once and for all)", '"day"', ("tag_budget",)),
    Row("tags_max", "How many tags it may have.", "1_000", "100"),
))  # fmt: skip

TAGS = Table("tags", "What calls are counted by besides: `X-Fastgw-Tag` names one of the account's, for a run or a "
             "customer, on any route.", (
    Row("account", "Whose it is.", example='"acme"', form="the name of an account"),
    Row("name", "What calls name it by.", example='"run-17"'),
    Row("budget", "Most that calls with it may spend of the account.", "(no limit)", '"5.00"'),
    Row("budget_period", "In each of these calendar windows, in the time zone of the plan.",
        "(once and for all)", '"month"', ("budget",)),
    Row("expires", "When it ends.", "(never)", "2027-01-01T00:00:00Z"),
))  # fmt: skip

KEYS = Table("keys", "What callers present. A key is hashed when it is read, and never kept or logged.", (
    Row("account", "Who pays for it.", example='"acme"', form="the name of an account"),
    Row("key", "The key itself.", "(that of `certificate`)", '"sk-acme-0001"'),
    Row("certificate", "Instead of a key, a client certificate: its fingerprint, `sha256:` and hexadecimal digits, or "
        "one of its alternative names, a host name, a URI or an e-mail address. Only for `client_certificates`.",
        "(that of `key`)", '"spiffe://example.com/billing"'),
    Row("name", "What people call it.", "(none)", '"build server"'),
    Row("rate", "How often it may call.", "(no limit)", '"1000/s"'),
    Row("burst", "How many calls at once.", "(the number of `rate`)", "50", ("rate",)),
    Row("token_rate", "How many tokens of models it may use, and at once in one period.", "(no limit)", '"200000/m"'),
    Row("models", "Which models it may ask for, by the names that callers use.", "(all)", '["gpt-5*", "claude-*"]',
        form="an array of names and patterns with `*`"),
    Row("expires", "When it ends.", "(never)", "2027-01-01T00:00:00Z"),
    Row("revoked", "Whether its calls are refused.", "false", "true"),
    Row("budget", "Most that it may spend of its account.", "(no limit)", '"5.00"'),
    Row("budget_period", "In each of these calendar windows, in the time zone of the plan.",
        "(once and for all)", '"month"', ("budget",)),
))  # fmt: skip

PLANS = Table("plans", "What accounts have in common.", (
    Row("name", "What accounts call it.", example='"pro"'),
    Row("rate", "How often all keys of an account together may call.", "(no limit)", '"100/s"'),
    Row("burst", "How many calls at once.", "(the number of `rate`)", "200", ("rate",)),
    Row("requests_per_day", "Calls of a calendar day.", "(no limit)", "50_000"),
    Row("requests_per_month", "Calls of a calendar month.", "(no limit)", "1_000_000"),
    Row("token_rate", "How many tokens of models all keys of an account together may use, and at once in one period.",
        "(no limit)", '"2000000/m"'),
    Row("tokens_per_day", "Tokens of a calendar day.", "(no limit)", "10_000_000"),
    Row("tokens_per_month", "Tokens of a calendar month.", "(no limit)", "200_000_000"),
    Row("timezone", "Where days and months begin.", '"UTC"', '"Europe/Madrid"'),
    Row("allowance", "Given at the start of each month; what is left of it ends with the month.", '"0"', '"20.00"'),
    Row("prices", "Of a call by the route's name, instead of the route's own.", "{}", '{ api = "0.0005" }',
        form="a table of route names and amounts"),
))  # fmt: skip

_TERMS = (
    Row("markup", "Added to what the providers charge.", "(nothing)", '"20%"'),
    Row("max_tokens", "What an answer may be long that the caller says no length of: told the provider, and held money "
        "for.", "4096", "16_000"),
    Row("limit_tokens", "What a caller may ask for at most; 0 for no limit but its balance.", "0", "32_000"),
    Row("hold_step", "Tokens of a stream that money is held for ahead; 0 for all that it may be long.", "0", "256"),
    Row("shrink", "Whether an answer that is not streamed and that the balance does not cover is made shorter instead "
        "of refused.", "false", "true"),
)  # fmt: skip

PROVIDERS = Table("providers", "Who serves models, and the keys for it. Most are known by name: "
                  "[models](models.md#providers) lists them.", (
    Row("name", "What models and callers call it, and what it is in metrics.", example='"openai"'),
    Row("type", "Which of the known providers it is, where its name is another.", "(its name)", '"groq"',
        form="the name of a known provider"),
    Row("url", "Where its API begins, `/v1` and the like included. Plain `http://` is for hosts of your own network.",
        "(known)", '"https://llm.example.com/v1"'),
    Row("dialect", "The API that it speaks.", "(known)", '"anthropic"'),
    Row("keys", "Its keys, used in turn; `${NAME}` is from the environment.", "(the variable that it is known for)",
        '["${PROVIDER_KEY}"]', form="an array of keys"),
    Row("keys_file", "A file of keys, one a line.", "(none)", '"keys.txt"', form="the path of a file"),
    Row("key_header", "The header that a key goes into.", "(known)", '"x-api-key"'),
    Row("key_scheme", "What stands before the key there.", "(known)", '""'),
    Row("headers", "Sent with every call; `${NAME}` is from the environment.", "{}", '{ "x-team" = "search" }',
        form="a table of names and values"),
    Row("region", "Of AWS.", "(`AWS_REGION`)", '"eu-central-1"', form="the name of a region"),
    Row("resource", "Of Azure OpenAI.", "(`AZURE_RESOURCE_NAME`)", '"my-resource"', form="the name of a resource"),
    Row("account", "Of Cloudflare.", "(`CLOUDFLARE_ACCOUNT_ID`)", '"0123456789abcdef"', form="the id of an account"),
    Row("models", "Models of it that callers may name: as `provider/model`, and as `model` where no provider before it "
        "has one of that name. `*` stands for anything in the names of those whose price is known.",
        "(all whose price is known)", '["gpt-4o*"]', form="an array of names"),
    Row("prices", "Whose prices the library has for its models.", "(known)", '"openrouter"'),
    Row("price", "Of each model that the library knows no price of.", "(they are refused)",
        '{ input = "1", output = "4" }', form="a table, see below, `\"free\"`, or a model whose price it is"),
    *_TERMS,
    Row("operations", "Endpoints that it has beside chat.", "(known)", '["embeddings"]', form="an array of endpoints"),
    Row("stream_usage", "Whether it takes `stream_options`, to tell what a stream has used.", "(known)", "false"),
    Row("max_tokens_field", "What it calls the longest that a chat completion may be.", "(known)", '"max_tokens"'),
    Row("rate", "Calls that it allows each key.", "(no limit)", '"500/m"'),
    Row("burst", "How many calls at once.", "(the number of `rate`)", "100", ("rate",)),
    Row("token_rate", "Tokens that it allows each key.", "(no limit)", '"200000/m"'),
    Row("upstream", "More of how its servers are called: all that [`[[upstreams]]`](#upstreams) has but the name. "
        "`targets` stand for the server of `url`.", "{}", "{ connections_max = 200 }", form="a table"),
))  # fmt: skip

# What an upstream that a provider makes may say; the document has it under [[upstreams]] alone.
PROVIDER_UPSTREAM = Table("providers.upstream", UPSTREAMS.about, UPSTREAMS.rows[1:], is_array=False)

MODELS = Table("models", "A name that callers may ask for, and who serves it.", (
    Row("name", "What callers write.", example='"fast"'),
    Row("targets", "`\"provider/model\"`, in the order in which they are tried; those in an array of their own share "
        "the calls by weight.", example='["openai/gpt-4o-mini", ["openai/gpt-4o", "openai/gpt-4.1"]]',
        form="an array of models, tables, or arrays of them"),
    Row("price", "What it costs, whoever serves it.", "(that of the model that served)",
        '{ input = "0.50", output = "2" }', form="a table, see below, `\"free\"`, or a model whose price it is"),
    *_TERMS,
    Row("fallback_on", "When the next one is tried, as long as the caller has got nothing.",
        '["connect", "401", "429", "5xx"]', '["429"]',
        form='an array of `"connect"`, `"timeout"`, `"401"`, `"429"`, `"5xx"`'),
))  # fmt: skip

MODEL_TARGETS = Table("models.targets", "One of them, where more is to be said of it.", (
    Row("model", "Which one.", example='"openai/gpt-4o-mini"', form='`"provider/model"`'),
    Row("weight", "Its share beside the others of its array.", "1", "3", form="an integer from 1 to 1000"),
    Row("price", "What it costs, instead of what the model says.", "(that of the model)",
        '{ input = "0.50", output = "2" }', form="as above"),
))  # fmt: skip

PRICE = Table("models.price", "What a model costs. Amounts are for a million tokens, where nothing else is said.", (
    Row("input", "What is sent.", "(0)", '"0.15"', ("output",)),
    Row("cached", "What of it the provider had in its cache.", "(as `input`)", '"0.075"', ("input", "output")),
    Row("written", "What of it was written into its cache.", "(as `input`)", '"0.1875"', ("input", "output")),
    Row("written_long", "What of it was written there for an hour.", "(as `written`)", '"0.30"', ("input", "output")),
    Row("audio_in", "Sound in it.", "(as `input`)", '"10"', ("input", "output")),
    Row("image_in", "Pictures in it.", "(as `input`)", '"0.20"', ("input", "output")),
    Row("output", "What is generated.", "(0)", '"0.60"', ("input",)),
    Row("reasoning", "What of it was thought.", "(as `output`)", '"0.70"', ("input", "output")),
    Row("audio_out", "Sound in it.", "(as `output`)", '"20"', ("input", "output")),
    Row("image_out", "Pictures in it.", "(as `output`)", '"30"', ("input", "output")),
    Row("characters", "A million characters to be spoken.", "(0)", '"15"'),
    Row("image", "One picture.", "(0)", '"0.04"'),
    Row("search", "One search of the web.", "(0)", '"0.01"'),
    Row("second", "One second of sound.", "(0)", '"0.0001"'),
    Row("request", "One call.", "(0)", '"0.001"'),
    Row("above_tokens", "Longer input than this has the price `above`, all of it.", "(none)", "200_000",
        ("input", "output", "above")),
    Row("above", "What it costs then.", "(none)", '{ input = "0.30", output = "1" }',
        ("input", "output", "above_tokens"), form="a table of these fields"),
), is_array=False)  # fmt: skip

PROMPTS = Table("prompts", "A prompt that is called like any other service: inputs in, an answer out. Several of "
                "one name are its versions. [Prompts](prompts.md) says more.", (
    Row("name", "In the path, and as a route's name in logs, metrics, plans and quotes.", example='"summarize"'),
    Row("version", "Which one of several; it is called at `PATH@VERSION`.", '"1"', '"2026-11"'),
    Row("current", "Whether it is called at the path itself.", "(the last version is)", "false"),
    Row("path", "Where it is called.", "(`/prompts/NAME`)", '"/v1/summaries"'),
    Row("hosts", "Only for these values of Host.", "(any)", '["api.example.com"]',
        form="an array of host names without port"),
    Row("model", "Who answers: a name that callers could ask for.", example='"fast"', form="the name of a model"),
    Row("template", "What the user says to it, with variables: `{{ name }}`.", "(none, with `messages`)",
        '"Summarize: {{ text }}"'),
    Row("system", "What is said before that.", "(nothing)", '"You write for a newspaper."', ("template",)),
    Row("messages", "Instead of both, the messages of a chat completion.", "(none, with `template`)",
        '[{ role = "user", content = "Summarize: {{ text }}" }]'),
    Row("parameters", "Other members of a chat completion.", "{}", "{ temperature = 0.2, max_tokens = 500 }"),
    Row("inputs", "The JSON Schema of a call's body.", "(each variable is a string)",
        '{ type = "object", properties = { text = { type = "string", maxLength = 20_000 } }, required = ["text"] }'),
    Row("inputs_file", "A file with it.", "(none)", '"inputs.json"', form="the path of a file"),
    Row("output", "The JSON Schema of the answer, which the model is held to.", '(`{"text": "…"}`)',
        '{ type = "object", properties = { title = { type = "string" } }, required = ["title"] }'),
    Row("output_file", "A file with it.", "(none)", '"output.json"', form="the path of a file"),
    Row("price", "What a call costs.", '"0"', '"0.01"'),
    Row("tokens", "Whether what the model costs is charged beside the price, or is part of it.", '"charged"',
        '"included"', ("price",)),
    Row("rate", "How often each key may call it; a key's own and the plan's hold as well.", "(no limit)", '"10/s"'),
    Row("burst", "How many calls at once.", "(the number of `rate`)", "20", ("rate",)),
    Row("description", "For people who read the OpenAPI document.", "(name and version)", '"Summarizes a text."'),
    Row("listed", "Whether it is in the OpenAPI document.", "true", "false"),
))  # fmt: skip

TABLES: tuple[Table, ...] = (
    LISTENERS, CERTIFICATES, UPSTREAMS, TARGETS, EJECTION, HEALTH, TLS, ROUTES, PLANS, ACCOUNTS, KEYS, TAGS, PROVIDERS,
    MODELS, MODEL_TARGETS, PRICE, PROMPTS,
)  # fmt: skip
