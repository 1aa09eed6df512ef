"""What of a figure is new: a patch turns one figure into the next, and is small when little but points was appended.

A patch is None where nothing changed, or one of

- ``{"new": value}``: take this instead;
- ``{"at": {name: patch, ...}}``: patch these entries of an object or a list; None takes one away;
- ``{"drop": n, "keep": n, "head": values, "tail": values}``: of an array, the head, so many values after those that
  are dropped, and the tail; a head or tail without values is left out.

live_chart.js applies it. On the wire an array is ``{"dtype": ..., "bdata": base64}``, as plotly.js has it.
"""

import base64
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from pairscope.charts.theme import Spec

Array = NDArray[Any]
Patch = dict[str, Any]

TYPES = {"f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4"}
"""What arrays plotly.js can take; others are sent as f8."""


def pack(value: Any) -> bytes:
    """Write a figure or a patch as JSON, arrays as their bytes."""
    return orjson.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        raise TypeError(f"a figure holds {type(value).__name__}; expected numbers, texts, lists, dicts and arrays")
    if value.dtype.kind not in "fiu":
        return value.tolist()
    code = value.dtype.str[1:]
    array = value if code in TYPES and value.dtype.isnative else value.astype(np.float64)
    packed = {"dtype": array.dtype.str[1:], "bdata": base64.b64encode(array.tobytes()).decode()}
    return packed if array.ndim == 1 else packed | {"shape": ",".join(map(str, array.shape))}


def patch_of(old: Any, new: Any) -> Patch | None:
    """Return what turns `old` into `new`, two figures or parts of figures; None when they are the same."""
    return _patch(old, new, 0)


def _patch(old: Any, new: Any, shift: int) -> Patch | None:
    """`shift` is how many points fewer stand at the beginning of the new trace."""
    if old is new:
        return None
    if isinstance(old, np.ndarray) or isinstance(new, np.ndarray):
        return _array_patch(old, new, shift)
    if isinstance(old, dict) and isinstance(new, dict):
        return _object_patch(old, new, _shift(old.get("x"), new.get("x"), shift))
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        changed = {str(place): _patch(*both, shift) for place, both in enumerate(zip(old, new, strict=True))}
        return _entries({name: patch for name, patch in changed.items() if patch is not None})
    return None if type(old) is type(new) and not isinstance(old, list) and old == new else {"new": new}


def _object_patch(old: Spec, new: Spec, shift: int) -> Patch | None:
    changed: dict[str, Patch | None] = {name: None for name in old if name not in new}
    for name, value in new.items():
        patch = _patch(old[name], value, shift) if name in old else {"new": value}
        if patch is not None:
            changed[name] = patch
    return _entries(changed)


def _entries(changed: dict[str, Patch | None]) -> Patch | None:
    return {"at": changed} if changed else None


def _shift(old: Any, new: Any, outer: int) -> int:
    """Return how many points have fallen off at the beginning, told by the times that both have."""
    if not isinstance(old, np.ndarray) or not isinstance(new, np.ndarray) or old.ndim + new.ndim != 2 or not len(old):
        return outer
    place = np.minimum(old.searchsorted(new), len(old) - 1)
    common = np.flatnonzero(old[place] == new)
    return int((place - np.arange(len(new)))[common[len(common) // 2]]) if len(common) else 0


def _array_patch(old: Any, new: Any, shift: int) -> Patch | None:
    """Keep the longest run of values that both have, the new ones `shift` places before the old ones."""
    alike = isinstance(old, np.ndarray) and isinstance(new, np.ndarray) and old.dtype == new.dtype
    if not alike or old.ndim != 1 or new.ndim != 1:
        return None if alike and old.shape == new.shape and old.tobytes() == new.tobytes() else {"new": new}
    first, after = max(0, -shift), min(len(new), len(old) - shift)
    if first >= after:
        return None if not len(old) and not len(new) else {"new": new}
    changed = _bits(old[first + shift : after + shift]) != _bits(new[first:after])
    fences = np.concatenate(([-1], np.flatnonzero(changed), [after - first]))
    longest = (fences[1:] - fences[:-1]).argmax()
    start, end = int(fences[longest]) + 1 + first, int(fences[longest + 1]) + first
    if start == end:
        return {"new": new}
    if end - start == len(old) == len(new):
        return None
    patch: Patch = {"drop": start + shift, "keep": end - start}
    ends = {"head": new[:start], "tail": new[end:]}
    return patch | {name: values for name, values in ends.items() if len(values)}


def _bits(values: Array) -> Array:
    """Return values to compare: NaN equals NaN."""
    return values.view(f"u{values.itemsize}") if values.dtype.kind == "f" else values
