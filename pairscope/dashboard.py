"""The Streamlit script: navigation and what all pages share."""

from functools import partial

import streamlit as st

from pairscope.runtime import current
from pairscope.views import alerts, data, explore, health, market, pair
from pairscope.views.bell import show_bell
from pairscope.views.desk import show_desk
from pairscope.views.notices import ALERTS_PAGE_KEY, DATA_PAGE_KEY, MARKET_PAGE_KEY, PAIR_PAGE_KEY, inert
from pairscope.views.wrong_address import replace_wrong

PAGES = (
    ("Pair", "pair", pair, ":material/ssid_chart:"),
    ("Market", "market", market, ":material/candlestick_chart:"),
    ("Explore", "explore", explore, ":material/query_stats:"),
    ("Alerts", "alerts", alerts, ":material/notifications:"),
    ("Data", "data", data, ":material/database:"),
    ("Health", "health", health, ":material/monitor_heart:"),
)
OF_PAIR = ("Pair", "Explore")

st.set_page_config(page_title="Pairscope", page_icon="📈", layout="wide")

runtime = current()
pages = {
    title: st.Page(partial(page.render, runtime), title=title, url_path=path, icon=icon, default=page is pair)
    for title, path, page, icon in PAGES
}
chosen = st.navigation(list(pages.values()), position="top")
named = {PAIR_PAGE_KEY: "Pair", MARKET_PAGE_KEY: "Market", ALERTS_PAGE_KEY: "Alerts", DATA_PAGE_KEY: "Data"}
st.session_state.update({key: pages[title] for key, title in named.items()})
if said := replace_wrong():
    st.warning("  \n".join(map(inert, said)), icon=":material/link_off:")
chosen.run()
with st.sidebar:
    show_bell(runtime)
    show_desk(runtime, of_pair=chosen.title in OF_PAIR)
