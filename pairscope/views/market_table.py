"""Tables of the Market page: a symbol a row, a number a column, each with its meaning."""

from collections.abc import Mapping, Sequence

import streamlit as st

from market import Instrument

ROW_PX = 30


def names_of(instruments: Sequence[Instrument]) -> list[str]:
    """Return what rows call symbols: with their venues where there are several."""
    several = len({each.venue for each in instruments}) > 1
    return [f"{each.symbol} · {each.venue}" if several else each.symbol for each in instruments]


def show_table(rows: Sequence[Mapping[str, str]], meanings: Mapping[str, str], *, key: str) -> None:
    """Show rows whose first column is the symbol; numbers stand at the right, each column with its meaning."""
    text = st.column_config.TextColumn
    st.dataframe(
        list(rows),
        hide_index=True,
        key=key,
        row_height=ROW_PX,
        column_config={"symbol": text(pinned=True)}
        | {name: text(alignment="right", help=meanings[name]) for name in meanings},
    )
