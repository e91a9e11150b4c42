"""Events and effects are values, and none is forgotten in the unions that the checker proves to be handled."""

from __future__ import annotations

import dataclasses
import inspect
from typing import get_args

import pytest

from chatgateway.close_codes import CloseCode
from chatgateway.core import effects as fx

PARTS = {fx.Write}
"""What an effect is made of."""


def test_every_class_is_an_event_or_an_effect_and_none_is_both() -> None:
    classes = {one for one in vars(fx).values() if inspect.isclass(one) and one.__module__ == fx.__name__}
    events, effects = set(get_args(fx.Event)), set(get_args(fx.Effect))
    assert classes - PARTS == events | effects
    assert not events & effects


@pytest.mark.parametrize("kind", [*get_args(fx.Event), *get_args(fx.Effect)], ids=lambda kind: kind.__name__)
def test_each_is_a_frozen_value(kind: type) -> None:
    assert dataclasses.is_dataclass(kind)
    assert not hasattr(object.__new__(kind), "__dict__"), "slots"
    fields = dataclasses.fields(kind)
    if fields:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(object.__new__(kind), fields[0].name, None)


def test_two_that_say_the_same_are_equal() -> None:
    assert fx.End(CloseCode.KEY_REVOKED, 7) == fx.End(CloseCode.KEY_REVOKED, 7) != fx.End(CloseCode.KEY_REVOKED)
