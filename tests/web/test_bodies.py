import attrs
import pytest

from streampai.errors import BadRequest
from streampai.web import bodies


@attrs.frozen(kw_only=True)
class Example:
    """For the test."""

    name: str
    count: int = 1
    tags: tuple[str, ...] = ()
    note: str | None = None
    anything: object = None


def test_a_body_becomes_an_instance() -> None:
    body = {"name": "x", "tags": ["a"], "note": None, "anything": {"b": [1]}}
    assert bodies.decode(Example, body) == Example(name="x", tags=("a",), anything={"b": [1]})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "name is missing"),
        ({"name": 1}, "name has the wrong type"),
        ({"name": None}, "name has the wrong type"),
        ({"name": "x", "count": True}, "count has the wrong type"),
        ({"name": "x", "count": 1.0}, "count has the wrong type"),
        ({"name": "x", "tags": "ab"}, "tags has the wrong type"),
        ({"name": "x", "tags": [1]}, "tags has the wrong type"),
        ({"name": "x", "other": 1}, "other is not known"),
        ({"name": "x" * 20_000}, "name has the wrong type"),
    ],
)
def test_anything_else_is_refused_with_the_fields_name(body: dict[str, object], error: str) -> None:
    with pytest.raises(BadRequest) as caught:
        bodies.decode(Example, body)
    assert caught.value.details["errors"] == [error]


def test_the_same_class_describes_itself() -> None:
    assert bodies.schema(Example) == {
        "type": "object",
        "additionalProperties": False,
        "description": "For the test.",
        "properties": {
            "name": {"type": "string"},
            "count": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "note": {"type": ["string", "null"]},
            "anything": {},
        },
        "required": ["name"],
    }
