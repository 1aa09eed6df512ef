import numpy as np
import pytest
from numpy.typing import NDArray

from pairscope.charts import DARK, LIGHT, Theme, price_decimals
from pairscope.charts.theme import inert


@pytest.mark.parametrize(
    ("prices", "decimals"),
    [([60_000.0, 60_001.0], 0), ([60_000.12], 2), ([0.5, 0.0625], 4), ([0.00001234], 8), ([1 / 3], 8)],
)
def test_decimals_follow_the_finest_price(prices: list[float], decimals: int) -> None:
    assert price_decimals(np.array(prices)) == decimals


# Machado, Oliveira and Fernandes (2009), severity 1.0: linear RGB as protanopes, deuteranopes and tritanopes see it.
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> NDArray[np.float64]:
    srgb = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = np.array(to_xyz) @ np.clip(rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("look", [DARK, LIGHT], ids=lambda look: look.name)
@pytest.mark.parametrize("sight", sorted(BLINDNESS))
@pytest.mark.parametrize("pair", [("up", "down"), ("accent", "second")], ids=" and ".join)
def test_two_colours_differ_for_colour_blind_eyes(look: Theme, sight: str, pair: tuple[str, str]) -> None:
    """A distance of 2.3 in CIELAB is just noticeable; ten times that is plain."""
    seen = [lab(np.array(BLINDNESS[sight]) @ linear(getattr(look, name))) for name in pair]
    assert np.linalg.norm(seen[0] - seen[1]) > 23


@pytest.mark.parametrize("look", [DARK, LIGHT], ids=lambda look: look.name)
@pytest.mark.parametrize("name", ["text", "muted", "accent", "second", "third"])
def test_words_in_a_colour_can_be_read(look: Theme, name: str) -> None:
    """WCAG 2.2 asks for a contrast of 4.5 for text of this size."""
    luminances = [linear(colour) @ (0.2126, 0.7152, 0.0722) + 0.05 for colour in (getattr(look, name), look.background)]
    assert max(luminances) / min(luminances) >= 4.5


def test_inert_text_has_no_tags_links_or_templates() -> None:
    assert inert("<b>%{y}</b> & co") == "&lt;b&gt;%&#123;y}&lt;/b&gt; &amp; co"
    assert inert("1000SHIBUSDT") == "1000SHIBUSDT"
    assert "$" not in inert("$x_{2}$")
