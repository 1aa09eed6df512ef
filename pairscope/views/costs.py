"""The choice of what a trade costs, for the pair that is recorded and for one of files."""

from typing import Any

import streamlit as st

from pairscope.addresses import OWN, OWN_COSTS, VENUES_OWN
from pairscope.numbers.costs import PRESETS


def choose_costs(key: str, own_key: str, **kept: Any) -> str | float | None:
    """Let costs be chosen: those of the venues (None), a preset, or basis points of one's own.

    Args:
        key: of the list.
        own_key: of the number.
        kept: where both are remembered, in the words of Streamlit's widgets.
    """
    chosen: str = st.selectbox(
        "Costs", (VENUES_OWN, *PRESETS, OWN), key=key, **kept,
        help="Taker fee, slippage and half the spread of one trade of one leg. A round trip pays them twice a leg.",
    )  # fmt: skip
    if chosen == VENUES_OWN:
        return None
    if chosen != OWN:
        return chosen
    return st.number_input(
        "Own costs, bp", min_value=OWN_COSTS.least, max_value=OWN_COSTS.most, value=OWN_COSTS.usual,
        step=OWN_COSTS.step, key=own_key, **kept, help="Basis points of one trade of one leg, all in.",
    )  # fmt: skip
