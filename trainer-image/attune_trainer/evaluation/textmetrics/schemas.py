"""A JSON Schema from a manifest, made ready: checked itself, and without a way to the network."""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from attune_trainer.errors import InvalidConfigurationError


def validator_of(schema: Mapping[str, Any] | bool, where: str) -> Any:
    """The validator of a schema.

    Args:
        schema: the schema.
        where: the manifest's field, for errors.

    Raises:
        InvalidConfigurationError: the schema is no schema (with the path of what is wrong), or it refers to a schema
            that is not in it. References are never fetched.
    """
    try:
        # With formats, so that a `pattern` in it that is no regular expression is found now.
        Draft202012Validator.check_schema(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    except SchemaError as error:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        raise InvalidConfigurationError(
            f"{where}{path}: {error.message} (JSON Schema, draft 2020-12). Correct the schema."
        ) from error
    resource = DRAFT202012.create_resource(schema)
    registry = resource @ Registry() if resource.id() else Registry().with_resource("", resource)
    missing = sorted(set(_unresolved(resource, registry.crawl().resolver_with_root(resource))))
    if missing:
        raise InvalidConfigurationError(
            f"{where}: $ref to {', '.join(missing)}: not in the schema itself, and nothing is fetched. Put what is "
            "referred to below $defs."
        )
    # With a registry of its own it has no way to fetch, even if a reference were to slip through.
    return Draft202012Validator(schema, registry=registry.crawl())


def _unresolved(resource: Any, resolver: Any) -> Iterator[str]:
    """References below a schema that lead nowhere."""
    if not isinstance(resource.contents, Mapping):
        return
    for keyword in ("$ref", "$dynamicRef"):
        reference = resource.contents.get(keyword)
        if isinstance(reference, str):
            try:
                resolver.lookup(reference)
            except Unresolvable:
                yield reference
    for inner in resource.subresources():
        yield from _unresolved(inner, resolver.in_subresource(inner))
