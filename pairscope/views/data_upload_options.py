"""What a person says of a file that can be read in more than one way: asked where it must be, and open to change."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from zoneinfo import available_timezones

import streamlit as st

from market import PairscopeError
from pairscope.files import AmbiguousFile, UploadOptions
from pairscope.views.data_upload_files import Basket, said_options, with_option
from pairscope.views.notices import inert

REFUSED_KEY = "refused option"
UNSAID = "as the file tells"

Again = Callable[[], object]
"""Reads the files of the basket anew."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One option: what a page calls it, and what it may be; any text where there are no choices."""

    label: str
    meaning: str
    choices: Mapping[str, str] | None = None


OPTIONS: Mapping[str, Asked] = {
    "symbol": Asked("Symbol", "What the rows are of, where neither the file nor its name says it, such as ETHUSDT."),
    "venue": Asked("Venue", "Where the trades were made, such as binance-spot; nothing means a file's own (import)."),
    "timeframe": Asked("Bar length", "Such as 1m or 1d, where one bar alone does not tell it."),
    "zone": Asked("Time zone", "Of times that name none; UTC otherwise. Such as Europe/Berlin."),
    "unit": Asked(
        "Unit of times", "Of times that are numbers since 1970.",
        {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"},
    ),
    "dates": Asked(
        "Dates", "Which comes first in dates such as 03/04/2024.",
        {"day first": "day first", "month first": "month first"},
    ),
    "decimal": Asked("Decimal mark", "What stands before the decimals.", {".": "point: 1.5", ",": "comma: 1,5"}),
    "delimiter": Asked(
        "Between cells", "What parts the cells of a row.",
        {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"},
    ),
    "encoding": Asked(
        "Encoding", "How letters are written as bytes.",
        {"utf-8": "UTF-8", "utf-16": "UTF-16", "latin-1": "Latin-1"},
    ),
    "kind": Asked(
        "Kind", "What the columns are, where their names do not tell.",
        {
            "ticks": "trades", "trades": "Binance trades", "agg_trades": "Binance aggregate trades",
            "klines": "Binance klines", "ohlc_long": "bars with a symbol column", "ohlc_single": "bars of one symbol",
            "wide_closes": "closes, a column per symbol", "frames": "recorded frames",
        },
    ),
}  # fmt: skip

_OPTION = re.compile(rf"\b({'|'.join(OPTIONS)})=('[^']*'|\.\.\.)")


def page_words(text: str) -> str:
    """Write what a reader says in words of the page: venue=... is the option Venue."""
    said = _OPTION.sub(lambda found: f"“{OPTIONS[found[1]].label}”{_value(found[2])}", text)
    return said.replace("use them with `analyze --input`", "analyse them here instead")


def _value(text: str) -> str:
    return "" if text == "..." else f" {text}"


def ask(basket: Basket, question: AmbiguousFile, again: Again) -> None:
    """Ask what settles how a file is read; the answer reads it again."""
    asked, option = OPTIONS[question.option], question.option
    st.warning(inert(f"{question.file} {question.why}."), icon=":material/help:")
    key = f"answer {option} {question.source}"
    answered = partial(_answer, basket, question.source, option, key, again)
    known = asked.choices or {}
    if question.choices:
        st.segmented_control(
            asked.label, question.choices, format_func=lambda each: known.get(each, each), key=key, help=asked.meaning,
            on_change=answered,
        )  # fmt: skip
    elif option == "zone":
        st.selectbox(asked.label, zones(), index=None, key=key, help=asked.meaning, on_change=answered)
    else:
        st.text_input(asked.label, key=key, help=asked.meaning, on_change=answered, width=360)
    _show_refused()


def _answer(basket: Basket, file: str, option: str, key: str, again: Again) -> None:
    answer = st.session_state.get(key)
    if answer:
        _say(basket, file, {option: str(answer).strip()}, again)


def _say(basket: Basket, file: str, said: Mapping[str, str | None], again: Again) -> bool:
    """Keep what is said and read again; what cannot be is kept for the page to tell."""
    options = basket.said_of(file)
    st.session_state[REFUSED_KEY] = ""
    try:
        for name, value in said.items():
            options = with_option(options, name, value)
    except PairscopeError as error:
        st.session_state[REFUSED_KEY] = str(error)
        return False
    if options != basket.said_of(file):
        basket.say(file, options)
        again()
    return True


def _show_refused() -> None:
    if said := st.session_state.get(REFUSED_KEY):
        st.error(inert(f"{said[:1].upper()}{said[1:]}."), icon=":material/block:")


@st.cache_data
def zones() -> list[str]:
    """Return the names of all time zones, UTC first."""
    return ["UTC", *sorted(available_timezones() - {"UTC"})]


@st.dialog("How the file is read", icon=":material/tune:", width="medium")
def show_options(basket: Basket, file: str, again: Again) -> None:
    """Let all options of a file be said; what is left empty is detected, or asked for."""
    st.text(file)
    st.caption("What is left empty is told by the file itself, or asked for. Nothing is guessed.")
    options = basket.said_of(file)
    with st.form(f"options of {file}", border=False):
        columns = st.columns(2)
        said = {
            name: _choose(columns[place % 2], name, asked, getattr(options, name))
            for place, (name, asked) in enumerate(OPTIONS.items())
        }
        if st.form_submit_button("Read again", type="primary") and _say(basket, file, said, again):
            st.rerun()
    _show_refused()


def _choose(column: "st.delta_generator.DeltaGenerator", name: str, asked: Asked, value: object) -> str | None:
    if asked.choices is None and name != "zone":
        said = "" if value is None else str(value)
        return column.text_input(asked.label, said, placeholder=UNSAID, help=asked.meaning).strip() or None
    choices = list(asked.choices or zones())
    return column.selectbox(
        asked.label, choices, index=choices.index(str(value)) if value in choices else None,
        format_func=lambda each: (asked.choices or {}).get(each, each), placeholder=UNSAID,
        help=asked.meaning,
    )  # fmt: skip


def said_text(options: UploadOptions) -> str:
    """Write what was said of a file: Decimal mark comma: 1,5 · Symbol ETH."""
    said = said_options(options).items()
    return " · ".join(
        f"{OPTIONS[name].label} {(OPTIONS[name].choices or {}).get(value, value)}" for name, value in said
    )
