"""A patch makes the next figure of the one before, whatever has changed, and is small when points were appended."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from pairscope.charts import pair_panes
from pairscope.charts.pair_lines import PairColumns
from pairscope.charts.patches import pack, patch_of
from tests.charts.test_pair import some_panes


def apply(old: Any, patch: Any) -> Any:
    """Do in Python what live_chart.js does in the browser."""
    if patch is None:
        return old
    if "new" in patch:
        return patch["new"]
    if "keep" in patch:
        kept = old[patch["drop"] : patch["drop"] + patch["keep"]]
        return np.concatenate((patch.get("head", old[:0]), kept, patch.get("tail", old[:0])))
    if isinstance(old, list):
        return [apply(each, patch["at"].get(str(place))) for place, each in enumerate(old)]
    gone = {name for name, part in patch["at"].items() if part is None}
    names = dict.fromkeys([*(name for name in old if name not in gone), *(set(patch["at"]) - gone)])
    return {name: apply(old.get(name), patch["at"].get(name)) for name in names}


def plain(value: Any) -> Any:
    return json.loads(pack(value))


def line(first: int, count: int, **more: Any) -> dict[str, Any]:
    bars = np.arange(first, first + count)
    return {"data": [{"type": "scatter", "x": bars * 1_000.0, "y": np.sin(bars), **more}], "layout": {}}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (line(0, 50), line(0, 50)),
        (line(0, 50), line(1, 50)),
        (line(0, 50), line(3, 60, name="a")),
        (line(3, 60, name="a"), line(0, 50)),
        (line(0, 50), line(90, 50)),
        (line(0, 50), line(0, 0)),
        (line(0, 0), line(0, 50)),
        (line(0, 50), {"data": [], "layout": {"shapes": [{"x0": 1}]}}),
        (line(0, 9, z=np.eye(2)), line(0, 9, z=np.ones((2, 2)))),
        (line(0, 9, x=["a", "b"]), line(0, 9, x=["a", "c"])),
        (line(0, 9, x=["a", "b"]), line(0, 9, x=np.arange(2.0))),
        ({"layout": {"a": 1, "b": [{"c": 1}, {"d": 2}]}}, {"layout": {"b": [{"c": 1}, {"d": 3, "e": None}]}}),
    ],
)
def test_a_patch_makes_the_new_figure_of_the_old_one(old: Any, new: Any) -> None:
    patch = patch_of(old, new)
    assert plain(apply(old, patch)) == plain(new)
    assert (patch is None) == (plain(old) == plain(new))


def test_of_appended_points_only_these_are_sent() -> None:
    patch = patch_of(line(0, 1_000), line(2, 1_001))
    assert patch is not None
    part = patch["at"]["data"]["at"]["0"]["at"]["y"]
    assert (part["drop"], part["keep"], list(part["tail"])) == (2, 998, np.sin([1_000, 1_001, 1_002]).tolist())
    assert "head" not in part


def test_values_that_are_not_known_are_the_same_as_before() -> None:
    old, new = line(0, 100), line(1, 100)
    for figure in (old, new):
        figure["data"][0]["y"][figure["data"][0]["x"] < 40_000] = np.nan
    patch = patch_of(old, new)
    assert patch is not None
    assert patch["at"]["data"]["at"]["0"]["at"]["y"]["keep"] == 99


def test_a_constant_line_is_aligned_by_its_times() -> None:
    old, new = line(0, 100, y=np.zeros(100)), line(7, 100, y=np.zeros(100))
    patch = patch_of(old, new)
    assert patch is not None
    assert patch["at"]["data"]["at"]["0"]["at"]["y"]["drop"] == 7


@pytest.mark.parametrize("bars", [600, 86_400])
def test_a_new_bar_of_a_pair_weighs_a_few_kb(bars: int) -> None:
    panes = some_panes(bars + 3)
    options: dict[str, Any] = {"names": ("ETHUSDT", "BTCUSDT"), "entry": 2.0, "exit": 0.5, "window": 60}

    def at(first: int) -> Any:
        shown = PairColumns._make(column[first : first + bars] for column in panes)
        flags = shown.flags.copy()
        flags[-1] = 1
        return pair_panes(shown._replace(flags=flags), **options)

    base = at(0)
    for first in (1, 2, 3):
        patch = patch_of(base, at(first))
        assert plain(apply(base, patch)) == plain(at(first))
        assert len(pack(patch)) < 6_000


def test_arrays_travel_as_their_bytes() -> None:
    packed = plain({"a": np.array([1.5, np.nan], np.float32), "b": np.array([1, 2]), "c": np.array(["x"]), "d": 1.0})
    assert packed["a"]["dtype"] == "f4"
    assert np.isnan(np.frombuffer(base64.b64decode(packed["a"]["bdata"]), np.float32)[1])
    assert (packed["b"]["dtype"], packed["c"], packed["d"]) == ("f8", ["x"], 1.0)
    assert plain(np.ones((2, 3)))["shape"] == "2,3"


def test_what_plotly_cannot_take_is_refused() -> None:
    with pytest.raises(TypeError):
        pack({"a": object()})
