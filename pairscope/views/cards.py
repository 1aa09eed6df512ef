"""Key figures as cards."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

CARD_PX, GAP_PX = 98, 14


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
            with st.container():
                _show_card(card, fresh=fresh, height=CARD_PX * 2 + GAP_PX)
    with second.container(horizontal=True, gap="small", wrap=False):
        for pair in (cards[2:4], cards[4:6]):
            with st.container(gap="small"):
                for card in pair:
                    _show_card(card, fresh=fresh, height=CARD_PX)
    with third.container(gap="small"):
        for card in cards[6:]:
            _show_card(card, fresh=fresh, height=CARD_PX)


def _show_card(card: Card, *, fresh: bool, height: int) -> None:
    aged = not fresh and card.value != "–"
    st.metric(
        card.name,
        f"({card.value})" if aged else card.value,
        card.beside,
        delta_color="orange" if aged else "off",
        delta_arrow="off",
        border=True,
        help=card.meaning,
        height=height,
        chart_data=card.line if len(card.line) > 1 else None,
    )
