"""Decides what stands in for OpenAI, so that the example runs offline: chat completions, whole and streamed."""

import json
import time
from http.server import BaseHTTPRequestHandler

KEY = "sk-provider-0001"  # of the company; whoever calls with another gets 401
WORDS = ["Holds", "are", "given", "back", "when", "a", "call", "has", "ended"]
PAUSE_S = 0.25  # between two words of a stream


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers.get("authorization") != f"Bearer {KEY}":
            self._answer(401, {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error"}})
            return
        words = WORDS[: asked.get("max_completion_tokens", len(WORDS))]
        usage = {"prompt_tokens": 12, "completion_tokens": len(words), "total_tokens": 12 + len(words)}
        frame = {"id": "chatcmpl-1", "created": int(time.time()), "model": asked["model"]}
        if asked.get("stream"):
            self._stream({**frame, "object": "chat.completion.chunk"}, words, usage)
            return
        message = {"role": "assistant", "content": " ".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._answer(200, {**frame, "object": "chat.completion", "choices": [choice], "usage": usage})

    def _answer(self, status: int, answer: dict[str, object]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, frame: dict[str, object], words: list[str], usage: dict[str, int]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for word in words:
            self._event({**frame, "choices": [{"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}]})
            time.sleep(PAUSE_S)
        self._event({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._event({**frame, "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, event: dict[str, object]) -> None:
        self.wfile.write(b"data: %b\n\n" % json.dumps(event).encode())
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """The gateway's call log says it."""
