"""JSON bodies of requests: read strictly, and described by the same classes.

A body's class is a frozen attrs class whose fields are ``str``, ``int``,
``bool``, ``tuple[str, ...]``, ``object`` (any JSON), or one of these ``| None``.
"""

import types
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs
import orjson
from quart import request

from ..errors import BadRequest

# Longer texts than any field of ours.
MAX_STRING = 16_384
_TYPES: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    object: {},
    tuple[str, ...]: {"type": "array", "items": {"type": "string"}},
}


async def read_json() -> dict[str, Any]:
    """The current request's body, an object; an empty body is an empty object. Raises BadRequest."""
    data = await request.get_data(as_text=False)
    if not data:
        return {}
    # Forms of other sites can only send a few other types without asking first.
    if request.mimetype != "application/json":
        raise BadRequest("Send the body as application/json.")
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be an object.")
    return body


def decode(cls: type[Any], body: dict[str, Any]) -> Any:
    """An instance of ``cls``. Raises BadRequest whose ``errors`` name the fields."""
    hints = get_type_hints(cls)
    fields = attrs.fields_dict(cls)
    errors = [f"{name[:64]} is not known" for name in body.keys() - fields.keys()]
    values = {}
    for name, field in fields.items():
        if name not in body:
            if field.default is attrs.NOTHING:
                errors.append(f"{name} is missing")
        elif _fits(body[name], hints[name]):
            values[name] = _frozen(body[name])
        else:
            errors.append(f"{name} has the wrong type")
    if errors:
        raise BadRequest("The body is not well-formed.", errors=sorted(errors)[:10])
    return cls(**values)


def schema(cls: type[Any], *, optional: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The JSON schema of ``cls``; ``optional`` names fields that may be left out as well."""
    hints = get_type_hints(cls)
    fields = attrs.fields_dict(cls)
    required = [
        name
        for name, field in fields.items()
        if field.default is attrs.NOTHING and name not in optional
    ]
    described: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _schema_of(hints[name]) for name in fields},
    }
    if cls.__doc__ and not cls.__doc__.startswith("Method generated"):
        described["description"] = " ".join(cls.__doc__.split())
    return described | ({"required": required} if required else {})


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _fits(value: object, hint: Any) -> bool:
    for choice in _choices(hint):
        if choice == tuple[str, ...]:
            fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        elif choice is object:
            fits = True
        else:
            fits = type(value) is choice
        if fits:
            return not isinstance(value, str) or len(value) <= MAX_STRING
    return False


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _schema_of(hint: Any) -> dict[str, Any]:
    choices = [choice for choice in _choices(hint) if choice is not type(None)]
    described = dict(_TYPES[choices[0]])
    if len(_choices(hint)) > len(choices) and "type" in described:
        described["type"] = [described["type"], "null"]
    return described
