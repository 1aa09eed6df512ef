"""The Streamlit script: navigation and what all pages share."""

from functools import partial

import streamlit as st

from pairscope.runtime import current
from pairscope.views import market, pair

st.set_page_config(page_title="Pairscope", page_icon="📈", layout="wide")

runtime = current()
st.navigation(
    [
        st.Page(
            partial(pair.render, runtime), title="Pair", url_path="pair", icon=":material/ssid_chart:", default=True
        ),
        st.Page(
            partial(market.render, runtime), title="Market", url_path="market", icon=":material/candlestick_chart:"
        ),
    ],
    position="top",
).run()
