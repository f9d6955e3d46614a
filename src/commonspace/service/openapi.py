"""The OpenAPI document: bodies with examples, errors, keys."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from commonspace.service import schema
from commonspace.types import JsonDict

_REF = "#/components/schemas/{model}"
_BODIES = (
    schema.SearchRequest,
    schema.AddRequest,
    schema.ItemsRequest,
    schema.ReopenRequest,
    schema.ErrorAnswer,
)
_DESCRIPTION = (
    "Search items of any modality by items of any other. Every answer of status 400 and above is "
    "`{error: {code, message, request_id}}`; codes are stable."
)
_OPEN = ("/healthz", "/readyz")


def body_of(name: str, *, form: bool = False) -> JsonDict:
    """Return what documents a JSON body, and a form of files beside it."""
    reference = {"$ref": _REF.format(model=name)}
    content: JsonDict = {"application/json": {"schema": reference}}
    if form:
        file = {"type": "array", "items": {"type": "string", "format": "binary"}}
        fields = {"file": file, "request": {"type": "string", "description": f"{name} as JSON."}}
        schema_ = {"type": "object", "properties": fields, "required": ["file"]}
        content["multipart/form-data"] = {"schema": schema_}
    return {"requestBody": {"required": True, "content": content}}


def parameters(**described: str) -> JsonDict:
    """Return what documents the parameters of a query string; ``id`` may be repeated."""
    text: JsonDict = {"type": "string", "minLength": 1, "maxLength": 512}
    found = []
    for name, description in described.items():
        many: JsonDict = {"type": "array", "items": text, "minItems": 1, "maxItems": 100}
        kind = many if name == "id" else text
        if name == "vectors":
            kind = {"type": "string", "enum": ["true", "false"]}
        if name == "size":
            kind = {"type": "integer", "minimum": 16, "maximum": 1024}
        found.append(
            {
                "name": name,
                "in": "query",
                "required": name == "id",
                "description": description,
                "schema": kind,
            }
        )
    return {"parameters": found}


def document(app: FastAPI) -> JsonDict:
    """Return the document of an app, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes
        )
        _, definitions = models_json_schema(
            [(model, "validation") for model in _BODIES], ref_template=_REF
        )
        components = made.setdefault("components", {})
        components.setdefault("schemas", {}).update(definitions["$defs"])
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in made["paths"].items():
            for operation in operations.values():
                _complete(operation, path)
        app.openapi_schema = made
    return app.openapi_schema


def _complete(operation: dict[str, Any], path: str) -> None:
    content = {"application/json": {"schema": {"$ref": _REF.format(model="ErrorAnswer")}}}
    operation["responses"]["default"] = {"description": "An error.", "content": content}
    operation["responses"].pop("422", None)
    if path not in _OPEN:
        operation["security"] = [{"key": []}, {}]
