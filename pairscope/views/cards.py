"""Key figures as cards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from pairscope.live_chart import spark_line

CARD_PX, GAP_PX = 98, 14
SPARK_PX = 74
"""The height of the small line in a card of two rows."""


@dataclass(frozen=True, slots=True)
class Card:
    """One number, with its unit, what is to be said beside it, and what it means."""

    name: str
    value: str
    beside: str
    meaning: str
    line: tuple[float, ...] = ()


def show_cards(cards: Sequence[Card], *, fresh: bool) -> None:
    """Show eight figures in two rows, on a phone in pairs; those that are not fresh stand in brackets."""
    first, second, third = st.columns([2, 2, 1], gap="small")
    with first.container(horizontal=True, gap="small", wrap=False):
        for card in cards[:2]:
            _show_card(card, fresh=fresh, height=CARD_PX * 2 + GAP_PX)
    with second.container(horizontal=True, gap="small", wrap=False):
        for pair in (cards[2:4], cards[4:6]):
            with st.container(gap="small"):
                for card in pair:
                    _show_card(card, fresh=fresh, height=CARD_PX)
    with third:
        for card in cards[6:]:
            _show_card(card, fresh=fresh, height=CARD_PX)


def _show_card(card: Card, *, fresh: bool, height: int) -> None:
    if height == CARD_PX:
        _show_number(card, fresh=fresh, height=height, border=True)
        return
    with st.container(border=True, height=height, gap="small"):
        _show_number(card, fresh=fresh)
        spark_line(card.line, key=f"line of {card.name}", height=SPARK_PX)


def _show_number(
    card: Card, *, fresh: bool, height: int | Literal["content"] = "content", border: bool = False
) -> None:
    aged = not fresh and card.value != "–"
    st.metric(
        card.name,
        f"({card.value})" if aged else card.value,
        card.beside,
        delta_color="orange" if aged else "off",
        delta_arrow="off",
        border=border,
        help=card.meaning,
        height=height,
    )
