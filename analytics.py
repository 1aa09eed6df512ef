"""The numbers of a pair: pure functions on prices, with named results. This is their one face.

Data come first, options by name; what varies in time comes back as a pandas Series, or as a ``frame``. Every value at a
time uses nothing later than it, unless it says "whole". NaN means that there are not enough data, and `reason` why; an
error means wrong use. What each number is: docs/methodology.md.
"""

from pairscope.numbers.asynchronous import HayashiYoshida, LagCurve, hayashi_yoshida, hayashi_yoshida_curve
from pairscope.numbers.bar_size import Trades, bar_correlations
from pairscope.numbers.cointegration import EngleGranger, engle_granger, engle_granger_both
from pairscope.numbers.costs import PRESETS, Costs, RoundTrip, round_trip
from pairscope.numbers.dependence import (
    Correlation,
    CrossCorrelation,
    LagHeatmap,
    LeadLag,
    correlation,
    cross_correlation,
    cross_correlation_heatmap,
    lead_lag,
)
from pairscope.numbers.diagnostics import (
    Autocorrelation,
    Histogram,
    NormalQuantiles,
    autocorrelation,
    histogram,
    normal_quantiles,
)
from pairscope.numbers.examination import Examination
from pairscope.numbers.hedge import HedgeRatio, RollingHedge, hedge_ratio, rolling_hedge
from pairscope.numbers.honesty import LookaheadReport, bars_needed, effective_sample_size, lookahead_check, power
from pairscope.numbers.johansen import Johansen, johansen
from pairscope.numbers.kalman import KalmanFilter, KalmanHedge, kalman_hedge
from pairscope.numbers.liquidity import Liquidity, VolumeFilter, liquidity, minimum_volume
from pairscope.numbers.pair import PairAnalysis, analyze_pair
from pairscope.numbers.phillips_ouliaris import phillips_ouliaris
from pairscope.numbers.residuals import JarqueBera, jarque_bera, ljung_box
from pairscope.numbers.results import HypothesisTest
from pairscope.numbers.reversion import HalfLife, Hurst, OrnsteinUhlenbeck, half_life, hurst, ou_fit
from pairscope.numbers.rolling import (
    bollinger,
    rolling_beta,
    rolling_correlation,
    rolling_mean,
    rolling_r2,
    rolling_std,
    zscore,
)
from pairscope.numbers.signals import Signals, SignalState, signals
from pairscope.numbers.spread import (
    RollingRegression,
    log_ratio_spread,
    ratio_spread,
    rolling_zscore_regression,
    spread,
    window_zscore,
)
from pairscope.numbers.stability import BetaBreak, beta_break
from pairscope.numbers.statistics import (
    PriceStatistics,
    drawdown,
    expected_shortfall,
    price_statistics,
    returns,
    value_at_risk,
)
from pairscope.numbers.summary import PairOptions, PairSummary
from pairscope.numbers.unitroot import Stationarity, VarianceRatio, adf, kpss, phillips_perron, variance_ratio
from pairscope.numbers.verdict import Reason, Verdict

__all__ = [
    "PRESETS",
    "Autocorrelation",
    "BetaBreak",
    "Correlation",
    "Costs",
    "CrossCorrelation",
    "EngleGranger",
    "Examination",
    "HalfLife",
    "HayashiYoshida",
    "HedgeRatio",
    "Histogram",
    "Hurst",
    "HypothesisTest",
    "JarqueBera",
    "Johansen",
    "KalmanFilter",
    "KalmanHedge",
    "LagCurve",
    "LagHeatmap",
    "LeadLag",
    "Liquidity",
    "LookaheadReport",
    "NormalQuantiles",
    "OrnsteinUhlenbeck",
    "PairAnalysis",
    "PairOptions",
    "PairSummary",
    "PriceStatistics",
    "Reason",
    "RollingHedge",
    "RollingRegression",
    "RoundTrip",
    "SignalState",
    "Signals",
    "Stationarity",
    "Trades",
    "VarianceRatio",
    "Verdict",
    "VolumeFilter",
    "adf",
    "analyze_pair",
    "autocorrelation",
    "bar_correlations",
    "bars_needed",
    "beta_break",
    "bollinger",
    "correlation",
    "cross_correlation",
    "cross_correlation_heatmap",
    "drawdown",
    "effective_sample_size",
    "engle_granger",
    "engle_granger_both",
    "expected_shortfall",
    "half_life",
    "hayashi_yoshida",
    "hayashi_yoshida_curve",
    "hedge_ratio",
    "histogram",
    "hurst",
    "jarque_bera",
    "johansen",
    "kalman_hedge",
    "kpss",
    "lead_lag",
    "liquidity",
    "ljung_box",
    "log_ratio_spread",
    "lookahead_check",
    "minimum_volume",
    "normal_quantiles",
    "ou_fit",
    "phillips_ouliaris",
    "phillips_perron",
    "power",
    "price_statistics",
    "ratio_spread",
    "returns",
    "rolling_beta",
    "rolling_correlation",
    "rolling_hedge",
    "rolling_mean",
    "rolling_r2",
    "rolling_std",
    "rolling_zscore_regression",
    "round_trip",
    "signals",
    "spread",
    "value_at_risk",
    "variance_ratio",
    "window_zscore",
    "zscore",
]
