"""Requests made from the OpenAPI document itself, wrong ones too: no answer of 500 and above.

More of them: ``SCHEMA_EXAMPLES=500 python -m pytest tests/service/test_service_schema.py``.
"""

from __future__ import annotations

import json
import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from serving import PATIENCE, client_of, running

from commonspace.service import create_app
from commonspace.service.limits import Limits
from commonspace.service.schema import AddRequest, ItemsRequest, SearchRequest

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "2"))


@pytest.fixture(scope="module")
def fresh(store, tmp_path_factory):
    """A service that may be written to, with limits that generated bodies can reach."""
    folder = store.copy(tmp_path_factory.mktemp("schema") / "things")
    limits = Limits(hits=5000, queries=20, parts=4)
    with running(create_app(folder, media=store.pictures, limits=limits)) as address:
        yield address


@pytest.fixture(scope="module")
def document(fresh):
    with client_of(fresh) as http:
        return http.get("/openapi.json").json()


def operations():
    """Method and path of every operation."""
    document = create_app("x").openapi()
    return [(method, path) for path, found in document["paths"].items() for method in found]


def test_the_document_is_complete(document):
    assert len(operations()) == 17
    for path, found in document["paths"].items():
        for method, operation in found.items():
            assert operation["summary"] and operation["description"], path
            assert "default" in operation["responses"]
            assert (method == "post") == ("requestBody" in operation)
    text = json.dumps(document)
    for name in set(document["components"]["schemas"]):
        assert f"schemas/{name}" in text
    assert '"$defs"' not in text


@pytest.mark.parametrize("model", [SearchRequest, AddRequest, ItemsRequest])
def test_examples_are_requests(model, document):
    examples = document["components"]["schemas"][model.__name__]["examples"]
    assert examples and all(model.model_validate(example) for example in examples)


@pytest.mark.parametrize("wanted", operations(), ids=" ".join)
def test_generated_requests_meet_no_mistake_of_ours(wanted, document, fresh):
    method, path = wanted
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=fresh)
    operation = schema[path][method.upper()]
    modes = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes]))
    def ask(case):
        response = case.call(timeout=PATIENCE)
        assert response.status_code < 500, (case.as_curl_command(), response.text)
        if response.status_code >= 400 and response.headers["content-type"] == "application/json":
            assert set(response.json()["error"]) == {"code", "message", "request_id"}

    ask()
