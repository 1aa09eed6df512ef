"""The Streamlit script: navigation and what all pages share."""

from functools import partial

import streamlit as st

from pairscope.runtime import current
from pairscope.views import market

st.set_page_config(page_title="Pairscope", page_icon="📈", layout="wide")

runtime = current()
st.navigation([st.Page(partial(market.render, runtime), title="Market", url_path="market", default=True)]).run()
