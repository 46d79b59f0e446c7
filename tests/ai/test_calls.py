"""What calls to models ask for, and what is sent for them within one dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastgw._usage import Usage
from fastgw.ai import calls, operations
from fastgw.ai.canonical import BodyError, UnsupportedError
from fastgw.ai.passing import Chunks, Messages
from fastgw.ai.passing_typed import Images, Typed
from fastgw.model import Candidate, Price, Provider, Secret

EVERYTHING = tuple(operations.TABLE)
OPENAI = Provider("openai", "openai", "/v1", (Secret("k"),), operations=EVERYTHING)
PLAIN = Provider("plain", "openai", "", (), stream_usage=False, max_tokens_field="max_tokens", operations=EVERYTHING)
CLAUDE = Provider("anthropic", "anthropic", "/v1", (Secret("k"),), operations=("count_tokens",))
MODEL = Candidate("openai", "gpt-x", Price(input=1, output=1))
HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def call(path: str, body: Any, query: str = "", method: str = "POST") -> calls.Call:
    operation = operations.find(method, path)
    assert operation is not None
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return calls.read(operation, path, query, "application/json", raw)


def chat(**members: Any) -> calls.Call:
    return call("chat/completions", {**HELLO, **members})


def sent(made: calls.Call, max_tokens: int = 0, provider: Provider = OPENAI) -> dict[str, Any]:
    found = json.loads(made.prepare(provider, MODEL, max_tokens).body)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "chat/completions", "chat"),
        ("GET", "chat/completions", "stored_chat"),
        ("GET", "chat/completions/id/messages", "stored_chat"),
        ("POST", "responses", "responses"),
        ("GET", "responses/resp_1", "stored_responses"),
        ("POST", "responses/resp_1/cancel", "stored_responses"),
        ("POST", "responses/compact", "compact"),
        ("GET", "responses/compact", None),
        ("POST", "messages", "messages"),
        ("POST", "messages/count_tokens", "count_tokens"),
        ("GET", "messages/batches/id/results", "message_batches"),
        ("GET", "messages/x", None),
        ("GET", "models", "models"),
        ("GET", "models/openai/gpt-5", "model"),
        ("DELETE", "models/x", None),
        ("POST", "audio/transcriptions", "transcriptions"),
        ("POST", "images/edits/", "image_edits"),
        ("POST", "files", "files"),
        ("GET", "files/f/content", "files"),
        ("GET", "embeddings", None),
        ("POST", "realtime/sessions", None),
        ("POST", "", None),
    ],
)
def test_endpoints(method: str, path: str, name: str | None) -> None:
    operation = operations.find(method, path)
    assert (operation.name if operation else None) == name


def test_what_a_chat_completion_asks_for() -> None:
    asked = chat(n=3, max_completion_tokens=50, max_tokens=70, stream=True).asked
    size = len(json.dumps({**HELLO, "n": 3, "max_completion_tokens": 50, "max_tokens": 70, "stream": True}))
    assert (asked.operation, asked.model, asked.stream) == ("chat", "m", True)
    assert (asked.max_tokens, asked.choices) == (150, 3)
    assert (asked.input_tokens, asked.usage) == (-(-size // 2), Usage(input=-(-size // 4)))
    assert chat(max_tokens=None, stream=None).asked.max_tokens == 0


def test_only_what_must_change_is_changed() -> None:
    body = b'{"zeta":0.10,"model":"m","messages":[{"role":"user","content":"\\u00e9","x":1.50}],"max_tokens":9}'
    made = call("chat/completions", body, "beta=true")
    found = made.prepare(OPENAI, MODEL, 9)
    assert found.body == body.replace(b'"m"', b'"gpt-x"')
    assert (found.path, found.content_type, found.fields) == (
        "/chat/completions?beta=true", b"application/json", b"",
    )  # fmt: skip
    assert made.prepare(OPENAI, MODEL, 9).body == found.body
    twice = call("chat/completions", b'{"model":"a","max_tokens":5,"model":"m","max_tokens":6,"messages":[]}')
    assert twice.prepare(OPENAI, MODEL, 100).body == b'{"model":"gpt-x","max_tokens":6,"messages":[]}'


@pytest.mark.parametrize(
    ("said", "most", "openai", "plain"),
    [
        ({}, 40, {"max_completion_tokens": 40}, {"max_tokens": 40}),
        ({"n": 4}, 40, {"max_completion_tokens": 10}, {"max_tokens": 10}),
        ({"max_tokens": 50}, 40, {"max_tokens": 40}, {"max_tokens": 40}),
        ({"max_tokens": 30}, 40, {"max_tokens": 30}, {"max_tokens": 30}),
        ({"max_completion_tokens": 30}, 40, {"max_completion_tokens": 30}, {"max_tokens": 30}),
        (
            {"max_completion_tokens": 30, "max_tokens": 60}, 40,
            {"max_completion_tokens": 30, "max_tokens": 40}, {"max_tokens": 30},
        ),
    ],
)  # fmt: skip
def test_what_may_be_generated_is_always_sent(said: Any, most: int, openai: Any, plain: Any) -> None:
    for provider, wanted in ((OPENAI, openai), (PLAIN, plain)):
        found = sent(chat(**said), most, provider)
        assert {name: value for name, value in found.items() if name.startswith("max_")} == wanted


def test_other_endpoints_name_it_otherwise() -> None:
    assert sent(call("responses", {"model": "m", "input": "x"}), 40)["max_output_tokens"] == 40
    assert sent(call("completions", {"model": "m", "prompt": "x"}), 40)["max_tokens"] == 40
    assert sent(call("messages", {**HELLO, "max_tokens": 90}), 40, CLAUDE)["max_tokens"] == 40
    assert set(sent(call("responses/compact", {"model": "m", "input": "x"}), 40)) == {"model", "input"}
    with pytest.raises(BodyError, match="not streamed"):
        call("responses/compact", {"model": "m", "input": "x", "stream": True})
    assert "max_tokens" not in sent(call("embeddings", {"model": "m", "input": "x"}), 40)


def test_thoughts_of_others_are_not_shown_to_claude() -> None:
    thought = {"type": "thinking", "thinking": "of a Gemini", "signature": ""}
    said = [{"role": "assistant", "content": [thought, {"type": "text", "text": "Hi"}]}]
    body = sent(call("messages", {**HELLO, "max_tokens": 9, "messages": said}), provider=CLAUDE)
    assert body["messages"] == [{"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}]
    assert "messages" not in sent(call("messages", {"model": "m", "max_tokens": 9}), provider=CLAUDE)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"stream": True}, {"include_usage": True}),
        ({"stream": True, "stream_options": None}, {"include_usage": True}),
        ({"stream": True, "stream_options": {"include_obfuscation": False}},
         {"include_obfuscation": False, "include_usage": True}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"include_usage": True}),
        ({}, None),
    ],
)  # fmt: skip
def test_usage_of_a_stream_is_asked_for(said: Any, wanted: Any) -> None:
    assert sent(chat(**said)).get("stream_options") == wanted
    assert sent(chat(**said), provider=PLAIN).get("stream_options") == said.get("stream_options")
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n'
    relay = chat(**said).prepare(OPENAI, MODEL, 0).relay
    hidden = bool(wanted) and said.get("stream_options") != wanted
    assert [portion.data for portion in relay.feed(usage)] == ([] if hidden else [usage])


@pytest.mark.parametrize(
    ("members", "parameter", "words"),
    [
        ({"model": None}, "model", "not as it should be"),
        ({"model": ""}, "model", "GET /v1/models"),
        ({"model": "x" * 300}, "model", "so long"),
        ({"stream": "yes"}, "stream", "not as it should be"),
        ({"max_tokens": 0}, "max_tokens", "between 1"),
        ({"max_tokens": "5"}, "max_tokens", "not as it should be"),
        ({"max_tokens": 1 << 40}, "max_tokens", "between 1"),
        ({"n": 129}, "n", "between 1 and 128"),
        ({"Max_Tokens": 5}, "Max_Tokens", "lower case"),
        ({"n_predict": 5}, "n_predict", "max_tokens"),
        ({"service_tier": "priority"}, "service_tier", "no price"),
        ({"models": ["dear"]}, "models", "no price"),
        ({"messages": [{"content": [{"type": "text"}, 7]}, 7]}, "", ""),
    ],
)
def test_requests_that_make_no_sense_or_have_no_price(members: Any, parameter: str, words: str) -> None:
    if not parameter:
        chat(**members)  # for the provider to judge
        return
    with pytest.raises(BodyError, match=words) as refused:
        chat(**members)
    assert refused.value.parameter == parameter


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model":', b"[" * 100_000, b'{"model":"\xff"}', b"\xff"])
def test_bodies_that_are_no_requests(body: bytes) -> None:
    with pytest.raises(BodyError):
        call("chat/completions", body)
    with pytest.raises(BodyError):
        call("messages", b'{"model":"m","messages":[' + b'{"content":[' * 50_000)


def test_an_ordinary_tier_is_nobodys_business() -> None:
    assert sent(chat(service_tier="default", models=None))["service_tier"] == "default"
    with pytest.raises(UnsupportedError):
        call("responses", {"model": "m", "input": "x", "background": True})


def test_tools_that_the_provider_charges_need_a_price() -> None:
    searched = Candidate("openai", "gpt-x", Price(search=10))
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "web_search_preview"}]
    for made in (
        call("responses", {"model": "m", "input": "x", "tools": tools}),
        chat(web_search_options={}),
    ):
        with pytest.raises(UnsupportedError, match="web_search"):
            made.prepare(OPENAI, MODEL, 0)
        made.prepare(OPENAI, searched, 0)
    assert call("responses", {"model": "m", "input": "x", "tools": tools[:1]}).prepare(OPENAI, MODEL, 0)
    claude = call("messages", {**HELLO, "tools": [{"type": "web_search_20250305", "name": "web_search"}]})
    with pytest.raises(UnsupportedError):
        claude.prepare(CLAUDE, MODEL, 0)


def image(size: int, **members: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * size, **members}}


def test_base64_is_never_counted_as_text() -> None:
    plain = call("chat/completions", {**HELLO, "messages": [{"role": "user", "content": []}]}).asked.input_tokens
    for size in (10, 1 << 20):
        content = [{"type": "text", "text": ""}, image(size), {"type": "input_audio", "input_audio": {"data": "A"}}]
        asked = chat(messages=[{"role": "user", "content": content}]).asked
        assert plain + 3_000 < asked.input_tokens < plain + 3_100
    tool = {"type": "tool_result", "content": [{"type": "image", "source": {"data": "A" * 9_999}}]}
    claude = call("messages", {**HELLO, "messages": [{"role": "user", "content": [tool]}]})
    assert claude.asked.input_tokens < 3_200
    item = {"type": "function_call_output", "output": [{"type": "input_image", "image_url": "A" * 9_999}]}
    assert call("responses", {"model": "m", "input": [item]}).asked.input_tokens < 3_200


def test_a_picture_is_seen_however_its_type_is_spelt() -> None:
    body = {**HELLO, "messages": [{"role": "user", "content": [image(9_999)]}]}
    spelt = json.dumps(body).replace('"type"', '"\\u0074ype"').encode()
    assert 3_000 < call("chat/completions", spelt).asked.input_tokens < 3_200


def test_text_is_counted_however_it_is_wrapped() -> None:
    text = "A" * 100_000
    for part in (
        {"type": "text", "text": text},
        {"type": "document", "source": {"type": "text", "data": text}},
        {"type": "unheard-of", "text": text},
    ):
        made = call("messages", {**HELLO, "messages": [{"role": "user", "content": [part]}]})
        assert made.asked.input_tokens > 50_000
    assert call("embeddings", {"model": "m", "input": [text]}).asked.input_tokens > 50_000


def test_documents_and_what_is_stored_elsewhere() -> None:
    def tokens(part: Any) -> int:
        return chat(messages=[{"role": "user", "content": [part]}]).asked.input_tokens

    assert tokens({"type": "file", "file": {"file_id": "f"}}) > 20_000
    assert 3_000 < tokens({"type": "file", "file": {"file_data": "A" * 2_000}}) < 3_200
    assert tokens({"type": "file", "file": {"file_data": "A" * 3_200_000}}) > 100_000
    before = call("responses", {"model": "m", "input": "x", "previous_response_id": "r"})
    assert before.asked.input_tokens > 20_000


def test_completions_of_several_prompts() -> None:
    def choices(**members: Any) -> int:
        return call("completions", {"model": "m", "max_tokens": 1, **members}).asked.max_tokens

    assert choices(prompt="x") == choices(prompt=[1, 2]) == choices(prompt=[]) == choices() == 1
    assert choices(prompt=["a", "b"], n=2, best_of=3) == 6
    assert choices(prompt=[[1], [2]]) == 2
    with pytest.raises(BodyError, match="prompts"):
        choices(prompt=["x"] * 3_000)


def test_what_images_and_speech_cost_is_known_beforehand() -> None:
    images = call("images/generations", {"model": "m", "prompt": "x", "n": 2, "quality": "low"})
    assert (images.asked.usage.images, images.asked.usage.output) == (2, 1_000)
    assert isinstance(images.prepare(OPENAI, MODEL, 0).relay, Images)
    speech = call("audio/speech", {"model": "m", "input": "Grüße", "voice": "alloy"})
    assert speech.asked.usage == Usage(input=speech.asked.usage.input, output=14, audio_out=14, characters=5)
    paid = speech.prepare(OPENAI, Candidate("openai", "tts-1", Price(characters=1)), 0).relay
    assert (paid.usage, speech.prepare(OPENAI, MODEL, 0).relay.usage) == (speech.asked.usage, None)


def form(*fields: tuple[str, str, bytes], boundary: str = "xyz") -> bytes:
    """Parts of a name, what follows it in Content-Disposition, and a value."""
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        % (boundary.encode(), name.encode(), more.encode(), value)
        for name, more, value in fields
    ]
    return b"".join(parts) + b"--" + boundary.encode() + b"--\r\n"


def upload(path: str, *fields: tuple[str, str, bytes], content_type: str = "multipart/form-data; boundary=xyz") -> Any:
    operation = operations.find("POST", path)
    assert operation is not None
    return calls.read(operation, path, "", content_type, form(*fields))


WAVE = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0" + b"".join(n.to_bytes(4, "little") for n in (24_000, 48_000, 2))
SOUND = WAVE + b"\0" * 480_000 + b"\r\n--xy"


def test_a_form_is_sent_with_another_model_and_nothing_else_changed() -> None:
    fields = (("file", '; filename="a.wav"', SOUND), ("model", "", b"m"), ("stream", "", b"true"))
    made = upload("audio/transcriptions", *fields)
    assert (made.asked.model, made.asked.stream) == ("m", True)
    assert made.asked.usage.seconds == 11
    found = made.prepare(OPENAI, MODEL, 0)
    assert found.body == form(fields[0], ("model", "", b"gpt-x"), fields[2])
    assert found.content_type == b"multipart/form-data; boundary=xyz"
    assert isinstance(found.relay, Typed)
    edited = upload("images/edits", ("model", "", b"m"), ("n", "", b"3"), ("image", '; filename="x"', b"\0"))
    assert edited.asked.usage.images == 3
    assert edited.asked.input_tokens >= 3_000


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ((("file", '; filename="a"', b""),), "which model"),
        ((("model", "", b"a"), ("model", "", b"b")), "once"),
        ((("model", '; filename="a"', b"m"),), "once"),
        ((("model", "", b"m"), ("n", "", b"0")), "between 1"),
        ((("x", "", b""),) * 1_001, "more than"),
    ],
)
def test_forms_that_make_no_sense(fields: Any, words: str) -> None:
    with pytest.raises(BodyError, match=words):
        upload("images/edits", *fields)


def test_forms_that_are_broken() -> None:
    operation = operations.find("POST", "audio/transcriptions")
    assert operation is not None
    whole = form(("model", "", b"m"), ("file", "; filename=a", b"data"))
    for content_type, body in (
        ("multipart/form-data", whole),
        ("multipart/form-data; boundary=other", whole),
        ("multipart/form-data; boundary=xyz", whole[:-8]),
        ("multipart/form-data; boundary=xyz", whole.replace(b'name="model"', b"")),
    ):
        with pytest.raises(BodyError):
            calls.read(operation, "audio/transcriptions", "", content_type, body)


def test_what_is_passed_by_its_path_alone() -> None:
    operation = operations.find("GET", "files/f/content")
    assert operation is not None
    made = calls.read(operation, "files/f/content", "a=b", "", b"")
    found = made.prepare(OPENAI, MODEL, 0)
    assert (found.path, found.body, found.content_type) == ("/files/f/content?a=b", b"", b"")
    assert found.relay.whole(b"\x00") == b"\x00"
    assert made.serves(OPENAI)
    assert not made.serves(CLAUDE)
    with pytest.raises(UnsupportedError):
        made.prepare(CLAUDE, MODEL, 0)


def test_the_relay_is_the_dialects() -> None:
    assert isinstance(chat().prepare(OPENAI, MODEL, 0).relay, Chunks)
    assert isinstance(call("messages", HELLO).prepare(CLAUDE, MODEL, 9).relay, Messages)


def test_tokens_are_counted_without_a_provider_that_does() -> None:
    made = call("messages/count_tokens", HELLO)
    assert made.serves(CLAUDE)
    assert not made.serves(OPENAI)
    assert json.loads(made.counted() or b"") == {"input_tokens": made.asked.likely_tokens}
    assert chat().counted() is None


def test_lists_of_models_in_both_forms() -> None:
    listed = json.loads(calls.list_models("openai", ["a", "b/c"]))
    assert [model["id"] for model in listed["data"]] == ["a", "b/c"]
    assert json.loads(calls.show_model("openai", "a")) == listed["data"][0]
    page = json.loads(calls.list_models("anthropic", ["a", "b"]))
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("a", "b", False)
    assert json.loads(calls.list_models("anthropic", []))["first_id"] is None
    assert json.loads(calls.show_model("anthropic", "a"))["type"] == "model"
