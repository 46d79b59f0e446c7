"""The document and the server agree: whatever OpenAPI allows is answered as it says, and nothing ends with a 5xx."""

from typing import Any

import httpx
import pytest
import schemathesis
from admin_rig import Served
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

EXAMPLES = 12
OPEN = ["GET /livez", "GET /metrics", "GET /readyz"]
OPERATIONS = [
    "GET /v1/accounts",
    "POST /v1/accounts",
    "GET /v1/accounts/{name}",
    "PATCH /v1/accounts/{name}",
    "POST /v1/accounts/{name}/adjustments",
    "GET /v1/accounts/{name}/entries",
    "POST /v1/accounts/{name}/topups",
    "GET /v1/audit",
    "GET /v1/calls",
    "GET /v1/config",
    "GET /v1/keys",
    "POST /v1/keys",
    "GET /v1/keys/{id}",
    "PATCH /v1/keys/{id}",
    "GET /v1/accounts/{name}/tags",
    "POST /v1/accounts/{name}/tags",
    "DELETE /v1/accounts/{name}/tags/{tag_name}",
    "POST /v1/keys/{id}/revoke",
    "POST /v1/keys/{id}/rotate",
    "GET /v1/plans",
    "POST /v1/quote",
    "POST /v1/reload",
    "GET /v1/state",
    "GET /v1/models",
    "GET /v1/upstreams",
    "GET /v1/upstreams/{name}",
    "POST /v1/upstreams/{name}/targets",
    "DELETE /v1/upstreams/{name}/targets/{target}",
    "PATCH /v1/upstreams/{name}/targets/{target}",
    "GET /v1/usage",
]


@pytest.fixture(scope="module")
def document(real: Served) -> schemathesis.BaseSchema:
    found = real.client.get("/openapi.json")
    assert found.status_code == 200
    assert found.json()["openapi"].startswith("3.1")
    return schemathesis.openapi.from_dict(found.json())


def test_the_document_has_every_operation(document: schemathesis.BaseSchema) -> None:
    found = {f"{method.upper()} {path}" for path, methods in document.raw_schema["paths"].items() for method in methods}
    assert found == {*OPERATIONS, *OPEN}


@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, pytest.param(GenerationMode.NEGATIVE, marks=pytest.mark.slow)],
    ids=lambda mode: mode.value,
)  # fmt: skip
@pytest.mark.parametrize("operation", [*OPERATIONS, "GET /livez", "GET /metrics"])
def test_whatever_comes_is_answered_as_documented(
    operation: str, mode: GenerationMode, document: schemathesis.BaseSchema, real: Served
) -> None:
    """What the document allows, and what it does not allow, which is refused."""
    method, _, path = operation.partition(" ")
    # A header is given to every call here. What a body may say is more than a schema can: a plan must be there, …
    others = [ignored_auth, *([positive_data_acceptance] if method in ("POST", "PATCH") else [])]
    described = document[path][method]
    takes_something = described.body or described.query or described.path_parameters
    if mode is GenerationMode.NEGATIVE and not takes_something:
        pytest.skip("takes nothing that could be wrong")

    @settings(
        max_examples=EXAMPLES if takes_something else 1,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(base_url=real.url, headers=dict(real.client.headers), excluded_checks=others)

    check()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_without_the_token_there_is_nothing(operation: str, real: Served) -> None:
    method, _, path = operation.partition(" ")
    place = path.format(name="filed", id="key_0000000000000001", tag_name="run", target="127.0.0.1:9001")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {real.server.token}"}):
        answer = httpx.request(method, real.url + place, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert answer.json()["code"] == "unauthorized"
        assert real.server.token_file in answer.json()["detail"]
