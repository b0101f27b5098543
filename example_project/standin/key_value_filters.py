"""The language of App Configuration's key and label filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .app_configuration_answers import Problem, invalid_argument
from .stores import NO_LABEL, KeyValue

_MOST_VALUES = 5
Matches = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Value:
    text: str
    is_prefix: bool

    def matches(self, candidate: str) -> bool:
        return candidate.startswith(self.text) if self.is_prefix else candidate == self.text


def parse_filter(text: str, name: str) -> Matches:
    """Read "abc", "abc*" or "abc,xyz"; a backslash takes the meaning from * , and itself."""
    values = []
    for start, part in _parts(text):
        values.append(_read_value(part, start, name))
    if len(values) > _MOST_VALUES:
        raise invalid_argument(name, f"{name}({len(text)}): Too many values")
    return lambda candidate: any(value.matches(candidate) for value in values)


def parse_tags(filters: list[str]) -> Callable[[KeyValue], bool]:
    """Read filters like "name=value"; every one has to match exactly."""
    if len(filters) > _MOST_VALUES:
        raise invalid_argument("tags", "tags: Too many values")
    pairs = [text.partition("=") for text in filters if text]

    def matches(item: KeyValue) -> bool:
        return all(
            name in item.tags and item.tags[name] == (None if value == NO_LABEL else value)
            for name, _, value in pairs
        )

    return matches


def _parts(text: str) -> list[tuple[int, str]]:
    """Where each comma-separated part begins, and the part, still escaped."""
    parts, start, index = [], 0, 0
    while index < len(text):
        if text[index] == ",":
            parts.append((start, text[start:index]))
            start = index + 1
        index += 2 if text[index] == "\\" else 1
    return [*parts, (start, text[start:])]


def _read_value(part: str, start: int, name: str) -> _Value:
    plain, index = "", 0
    while index < len(part):
        if part[index] == "*":
            if index < len(part) - 1:
                raise _invalid_character(name, start + index)
            return _Value(plain, is_prefix=True)
        if part[index] == "\\":
            index += 1
            if index == len(part):
                raise _invalid_character(name, start + index - 1)
        plain += part[index]
        index += 1
    return _Value(plain, is_prefix=False)


def _invalid_character(name: str, index: int) -> Problem:
    return invalid_argument(name, f"{name}({index + 1}): Invalid character")
