"""The Streamlit script: navigation and what all pages share."""

from functools import partial

import streamlit as st

from pairscope.runtime import current
from pairscope.views import data, explore, health, market, pair
from pairscope.views.desk import show_desk
from pairscope.views.notices import DATA_PAGE_KEY, inert
from pairscope.views.wrong_address import replace_wrong

PAGES = (
    ("Pair", "pair", pair, ":material/ssid_chart:"),
    ("Market", "market", market, ":material/candlestick_chart:"),
    ("Explore", "explore", explore, ":material/query_stats:"),
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
st.session_state[DATA_PAGE_KEY] = pages["Data"]
if said := replace_wrong():
    st.warning("  \n".join(map(inert, said)), icon=":material/link_off:")
chosen.run()
with st.sidebar:
    show_desk(runtime, of_pair=chosen.title in OF_PAIR)
