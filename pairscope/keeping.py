"""What recording is made of outlives a saved source file."""

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

OURS = frozenset({"market", "analytics", "store", "ingest", "pairscope"})
"""The packages and modules that recording is made of; pages and charts are not loaded yet when it begins."""


class Kept(MetaPathFinder, Loader):
    """Gives a module that was loaded before to whoever imports it again.

    When a source file is saved, Streamlit drops every module of ours and lets the pages import them anew. Pages and
    charts may come back changed; what the recording is made of stays as it began, or a page would hand a new
    `Timeframe` to a store that knows only the old one, and find no process to show.
    """

    def __init__(self, modules: Mapping[str, ModuleType]) -> None:
        self._modules = dict(modules)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for the modules that are kept, and for no other."""
        kept = self._modules.get(fullname)
        return ModuleSpec(fullname, self, origin=kept.__file__, is_package=hasattr(kept, "__path__")) if kept else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module as it is."""
        return self._modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it ran when it was first imported."""


def keep_modules() -> None:
    """Keep the modules of ours that are loaded now, unless some are kept already."""
    if not any(isinstance(finder, Kept) for finder in sys.meta_path):
        kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in OURS}
        sys.meta_path.insert(0, Kept(kept))
