"""Loops of the hedge ratio: moments, the error of a slope, Huber's weights, the median of all slopes."""

import numpy as np

from market import Floats, Integers
from pairscope.kernels import in_any_order, kernel

Five = tuple[float, float, float, float, float]
Error = tuple[float, float, float, float, int]
"""Of a slope: long-run, as if rows were independent, degrees of freedom, persistence, and what came of it."""

Line = tuple[float, float, float, Error]
"""Alpha, beta, the sum of squared residuals, and the error of beta."""

MEASURED, ALIKE, TOO_FEW, WANDERS, ONE_STRETCH, NOT_ASKED = range(6)
"""Whether the error of a slope was found, or why not."""

FEWEST_ROWS = 24
"""Below this there are not three rows to each of eight blocks."""

WANDERING, WANDERING_FROM_ZERO = 20.4935, 15.6377
"""n (1 - rho) of the residuals of two unrelated random walks stays below this in 95 % of samples, with and without an
intercept: Phillips and Ouliaris (1990), Econometrica 58, table I, one regressor."""

CHUNK = 1024
"""Rows that are worked on at a time: few enough for the nearest cache."""

HUBER_BEND = 1.345
"""Residuals beyond this many deviations lose weight: 95 % efficient for normal errors (Huber 1981)."""

MAD_TO_DEVIATION = 0.6744897501960817
"""The median absolute deviation of a standard normal variable."""

FEW_PAIRS = 20_000
"""Up to so many pairs of points, all slopes are simply written down."""


@in_any_order
def plus(total: float, term: float) -> float:
    """Return a sum with one term more."""
    return total + term


@in_any_order
def plus_product(total: float, left: float, right: float) -> float:
    """Return a sum with one product more."""
    return total + left * right


@kernel
def products(y: Floats, x: Floats, at_y: float, at_x: float) -> Five:
    """Return the sums of y, x, yy, xy and xx, with both legs counted from the given points."""
    sum_y = sum_x = yy = xy = xx = 0.0
    for row in range(len(y)):
        dy, dx = y[row] - at_y, x[row] - at_x
        sum_y = plus(sum_y, dy)
        sum_x = plus(sum_x, dx)
        yy = plus_product(yy, dy, dy)
        xy = plus_product(xy, dx, dy)
        xx = plus_product(xx, dx, dx)
    return sum_y, sum_x, yy, xy, xx


@kernel
def whole_moments(y: Floats, x: Floats, intercept: bool) -> Five:
    """Return both means and the sums of yy, xy and xx about them (0, and about 0, without an intercept).

    They are taken about the middle row first, and a second time where that turns out to be far from the means. NaN
    where a value is missing, or there is none.
    """
    rows = len(y)
    if not rows:
        return np.nan, np.nan, np.nan, np.nan, np.nan
    at_y, at_x = (y[rows // 2], x[rows // 2]) if intercept else (0.0, 0.0)
    for _ in range(2):
        sum_y, sum_x, yy, xy, xx = products(y, x, at_y, at_x)
        if not intercept:
            break
        off_y, off_x = sum_y / rows, sum_x / rows
        at_y, at_x = at_y + off_y, at_x + off_x
        yy, xy, xx = yy - sum_y * off_y, xy - sum_x * off_y, xx - sum_x * off_x
        if sum_y * off_y <= 9.0 * yy and sum_x * off_x <= 9.0 * xx:
            break
    return at_y, at_x, yy, xy, xx


@kernel
def chunk_sums(y: Floats, x: Floats, at_y: float, at_x: float, beta: float, scores: Floats, last: Floats) -> Five:
    """Write the scores of some rows, and return their sums of e e, e e(-1), e e(-2), s s and s s(-1).

    `last` holds e, e(-1) and s of the row before, and afterwards those of the last row.
    """
    once, twice, before = last[0], last[1], last[2]
    ee = ee_once = ee_twice = ss = ss_once = 0.0
    for row in range(len(y)):
        w = x[row] - at_x
        e = (y[row] - at_y) - beta * w
        s = w * e
        scores[row] = s
        ee = plus_product(ee, e, e)
        ee_once = plus_product(ee_once, e, once)
        ee_twice = plus_product(ee_twice, e, twice)
        ss = plus_product(ss, s, s)
        ss_once = plus_product(ss_once, s, before)
        once, twice, before = e, once, s
    last[0], last[1], last[2] = once, twice, before
    return ee, ee_once, ee_twice, ss, ss_once


@kernel
def block_sums(x: Floats, at_x: float, scores: Floats) -> tuple[float, float]:
    """Return the sum of w w and that of s over a block."""
    weight = own = 0.0
    for row in range(len(x)):
        w = x[row] - at_x
        weight = plus_product(weight, w, w)
        own = plus(own, scores[row])
    return weight, own


@kernel
def score_sums(y: Floats, x: Floats, at_y: float, at_x: float, beta: float, blocks: int) -> tuple[Five, Five]:
    """Return ten sums that the error of a slope is made of.

    With both legs counted from the given points, the instrument is w = x, the residual e = y - beta x, and the score
    s = w e. Over the rows: e e, e e(-1), e e(-2), s s, s s(-1). Over the blocks, with W the sum of w w in a block, S
    that of s, and D its last s less that of the block before: W, W W, S S, S D, D D.
    """
    rows, first, behind = len(y), 0, 0
    ee = ee_once = ee_twice = ss = ss_once = 0.0
    w1 = w2 = own2 = own_step = step2 = score = 0.0
    together = max(1, CHUNK * blocks // rows)  # blocks whose rows fit into the nearest cache
    scores, last = np.empty((rows // blocks + 1) * together), np.zeros(3)
    while behind < blocks:
        group, behind = behind, min(behind + together, blocks)
        start, end = 0, behind * rows // blocks
        some = chunk_sums(y[first:end], x[first:end], at_y, at_x, beta, scores, last)
        ee, ee_once, ee_twice = ee + some[0], ee_once + some[1], ee_twice + some[2]
        ss, ss_once = ss + some[3], ss_once + some[4]
        for block in range(group, behind):
            past = (block + 1) * rows // blocks - first
            weight, own = block_sums(x[first + start : first + past], at_x, scores[start:past])
            step, score, start = scores[past - 1] - score, scores[past - 1], past
            w1, w2 = w1 + weight, w2 + weight * weight
            own2, own_step, step2 = own2 + own * own, own_step + own * step, step2 + step * step
        first = end
    return (ee, ee_once, ee_twice, ss, ss_once), (w1, w2, own2, own_step, step2)


@kernel
def blocks_of(rows: int) -> int:
    """Return into how many blocks a sample is cut: about 0.2 n^(2/3), eight at least, one where there is no error."""
    return max(8, int(0.2 * rows ** (2 / 3))) if rows >= FEWEST_ROWS else 1


@kernel
def persistence(once: float, twice: float, rows: int) -> float:
    """Return the share of a residual that is left one row later, from the autocorrelations at lags 1 and 2.

    Their ratio is blind to noise that lasts one row, such as the bounce between bid and ask, which would otherwise
    make a random walk look as if it came back (Hall 1989, Biometrika 76). Where lag 1 is itself lost in noise, it is
    the answer.
    """
    return twice / once if once > 3.0 / np.sqrt(rows) else once


@kernel
def slope_error(score: Five, blocks: Five, slope: float, residual: Five, rows: int, intercept: bool) -> Error:
    """Return long-run error, error as if rows were independent, degrees of freedom, persistence, and what came of it.

    Args:
        score, blocks: sums of the residuals as the method sees them (clipped, ranked, ...), see `score_sums`.
        slope: how fast the sum of the scores falls as beta grows.
        residual: sums of the residuals as they are; they tell whether the legs hold together at all.
        rows: in the sample.
        intercept: whether alpha was fitted too.
    """
    if not (score[3] > 0.0 and abs(slope) > 0.0):
        return np.nan, np.nan, np.nan, np.nan, ALIKE
    classical = np.sqrt(score[0] / max(rows - 1 - intercept, 1) * blocks[0]) / abs(slope)
    if rows < FEWEST_ROWS:
        return np.nan, classical, np.nan, np.nan, TOO_FEW
    rho = persistence(residual[1] / residual[0], residual[2] / residual[0], rows)
    if rows * (1.0 - rho) < (WANDERING if intercept else WANDERING_FROM_ZERO):
        return np.nan, classical, np.nan, rho, WANDERS
    share = blocks[1] / blocks[0] ** 2
    if share > 0.5:
        return np.nan, classical, np.nan, rho, ONE_STRETCH
    kept = score[4] / score[3]
    kept = min(kept + (2.0 + 4.0 * kept) / rows, 1.0 - 1.0 / rows)
    edge = kept / (1.0 - kept)
    total = blocks[2] + 2.0 * edge * blocks[3] + edge * edge * blocks[4]
    paid = 1.0 - share - intercept / blocks_of(rows)
    return np.sqrt(max(total, 0.0) / paid) / abs(slope), classical, 1.0 / share - 1.0, rho, MEASURED


@kernel
def squares_of(y: Floats, x: Floats, at_y: float, at_x: float, beta: float) -> float:
    """Return the sum of squares of y - beta x, with both legs counted from the given points."""
    total = 0.0
    for row in range(len(y)):
        e = (y[row] - at_y) - beta * (x[row] - at_x)
        total = plus_product(total, e, e)
    return total


@kernel
def classical_error(seen: float, weight: float, slope: float, rows: int, intercept: bool) -> Error:
    """Return the error of a slope as if rows were independent, and no other."""
    if not (seen > 0.0 and abs(slope) > 0.0):
        return np.nan, np.nan, np.nan, np.nan, NOT_ASKED
    classical = np.sqrt(seen / max(rows - 1 - intercept, 1) * weight) / abs(slope)
    return np.nan, classical, np.nan, np.nan, NOT_ASKED


@kernel
def least_squares(y: Floats, x: Floats, intercept: bool, interval: bool) -> tuple[Five, Line]:
    """Return the moments of the whole sample, and the line of least squares; its long-run error with `interval`."""
    moments = whole_moments(y, x, intercept)
    mean_y, mean_x, _, xy, xx = moments
    if not xx > 0.0:
        return moments, (np.nan, np.nan, np.nan, (np.nan, np.nan, np.nan, np.nan, TOO_FEW))
    beta = xy / xx
    if not interval:
        squares = squares_of(y, x, mean_y, mean_x, beta)
        return moments, (mean_y - beta * mean_x, beta, squares, classical_error(squares, xx, xx, len(y), intercept))
    rows, blocks = score_sums(y, x, mean_y, mean_x, beta, blocks_of(len(y)))
    return moments, (mean_y - beta * mean_x, beta, rows[0], slope_error(rows, blocks, xx, rows, len(y), intercept))


@kernel
def score_error(
    w: Floats, e: Floats, seen: Floats, slope: float, intercept: bool, interval: bool
) -> tuple[float, Error]:
    """Return the squared residuals `e`, and the error of the slope at which `sum(w seen)` is zero.

    `seen` are the residuals as the method sees them; those as they are need not have a mean of zero.
    """
    rows = len(e)
    if not interval:
        seen2, weight = squares_of(seen, w, 0.0, 0.0, 0.0), squares_of(w, seen, 0.0, 0.0, 0.0)
        return squares_of(e, w, 0.0, 0.0, 0.0), classical_error(seen2, weight, slope, rows, intercept)
    mean = e.mean()
    residual, _ = score_sums(e, w, mean, 0.0, 0.0, blocks_of(rows))
    score, blocks = score_sums(seen, w, 0.0, 0.0, 0.0, blocks_of(rows))
    return residual[0] + rows * mean * mean, slope_error(score, blocks, slope, residual, rows, intercept)


@kernel
def middle(values: Floats) -> float:
    """Return the median; `values` is left in another order."""
    half = len(values) // 2
    ordered = np.partition(values, half)
    upper: float = ordered[half]
    return upper if len(values) % 2 else 0.5 * (upper + ordered[:half].max())


@kernel
def middle_near(values: Floats, guess: float, near: Floats) -> float:
    """Return the median of non-negative values; only those within a tenth of `guess` are ordered if it lies there."""
    below = inside = 0
    for value in values:
        if value < 0.9 * guess:
            below += 1
        elif value <= 1.1 * guess:
            near[inside] = value
            inside += 1
    low, high = (len(values) - 1) // 2 - below, len(values) // 2 - below
    if low < 0 or high >= inside:
        return middle(values)
    ordered = np.partition(near[:inside], high)
    upper: float = ordered[high]
    return upper if low == high else 0.5 * (upper + ordered[:high].max())


@kernel
def weighted_line(y: Floats, x: Floats, alpha: float, beta: float, bend: float, intercept: bool) -> tuple[float, float]:
    """Return alpha and beta with each row weighted by bend / |residual| at most 1, the residual of the given line."""
    ww = wx = wy = wxx = wxy = 0.0
    for row in range(len(y)):
        size = abs(y[row] - alpha - beta * x[row])
        weight = 1.0 if size <= bend else bend / size
        ww += weight
        wx += weight * x[row]
        wy += weight * y[row]
        wxx += weight * x[row] * x[row]
        wxy += weight * x[row] * y[row]
    if not intercept:
        return 0.0, wxy / wxx
    slope = (ww * wxy - wx * wy) / (ww * wxx - wx * wx)
    return (wy - slope * wx) / ww, slope


@kernel
def huber_line(y: Floats, x: Floats, beta: float, intercept: bool) -> tuple[float, float, float]:
    """Return alpha, beta and scale of Huber's M-estimate; x and y are centred, and `beta` is where it starts.

    The scale is the median absolute residual about zero, taken anew at each step, as statsmodels does. Where more
    than half of the residuals are zero there is no scale, and the line through them stays as it is.
    """
    sizes, near = np.empty(len(y)), np.empty(len(y))
    spread_x, rounding = np.sqrt((x * x).mean()), 1e-13 * np.sqrt((y * y).mean())
    alpha, scale = 0.0, 0.0
    for _ in range(200):
        for row in range(len(y)):
            sizes[row] = abs(y[row] - alpha - beta * x[row])
        scale = middle_near(sizes, scale * MAD_TO_DEVIATION, near) / MAD_TO_DEVIATION
        if not scale > rounding:
            return alpha, beta, 0.0
        before_alpha, before_beta = alpha, beta
        alpha, beta = weighted_line(y, x, alpha, beta, HUBER_BEND * scale, intercept)
        if abs(alpha - before_alpha) + abs(beta - before_beta) * spread_x <= 1e-10 * scale:
            break
    return alpha, beta, scale


@kernel
def exchanges(order: Integers, keys: Floats, want: Integers, lower: Integers, upper: Integers) -> int:
    """Sort `keys` (and `order` with them) by merging, and return how many pairs had to change places.

    The pairs are numbered as they are met; those numbered in `want` (ascending) are written to `lower` and `upper`.
    """
    rows, seen, found = len(order), 0, 0
    source, moved = keys, np.empty(rows)
    names, moved_names = order, np.empty(rows, np.int64)
    width = 1
    while width < rows:
        for start in range(0, rows, 2 * width):
            half, end = min(start + width, rows), min(start + 2 * width, rows)
            left, right = start, half
            for place in range(start, end):
                if right >= end or (left < half and source[left] <= source[right]):
                    moved[place], moved_names[place] = source[left], names[left]
                    left += 1
                    continue
                while found < len(want) and want[found] < seen + half - left:
                    lower[found], upper[found] = names[left + want[found] - seen], names[right]
                    found += 1
                seen += half - left
                moved[place], moved_names[place] = source[right], names[right]
                right += 1
        source, moved = moved, source
        names, moved_names = moved_names, names
        width *= 2
    if names is not order:
        order[:] = names
    return seen


@kernel
def slopes_between(y: Floats, x: Floats, order: Integers, above: Floats, want: Integers) -> Floats:
    """Return the slopes numbered in `want` of those pairs that `order` and the order by `above` disagree about."""
    lower, upper = np.zeros(len(want), np.int64), np.zeros(len(want), np.int64)
    exchanges(order.copy(), above[order], want, lower, upper)
    return (y[upper] - y[lower]) / (x[upper] - x[lower])


@kernel
def all_slopes(y: Floats, x: Floats) -> Floats:
    """Return the slopes of all pairs with different x."""
    rows, count = len(y), 0
    slopes = np.empty(rows * (rows - 1) // 2)
    for i in range(rows):
        for j in range(i):
            run = x[i] - x[j]
            if run != 0.0:
                slopes[count] = (y[i] - y[j]) / run
                count += 1
    return slopes[:count]


@kernel
def ranked_slopes(y: Floats, x: Floats, total: int, low: int, high: int) -> float:
    """Return the mean of the slopes of rank `low` and `high` (the same or the next) among all `total` slopes.

    x ascends, and y does where x is equal. The slopes below b are as many as the pairs that are out of order by
    y - b x. A sample of the slopes still possible gives two values of b that the ranks lie between, almost surely;
    counting makes it sure. What remains after some turns is written down, so that the answer is a slope of the data and
    not near one (after Matousek, Mount and Netanyahu 1998, "Efficient randomized algorithms for the repeated median
    line estimator", with evenly spaced instead of random ranks, so that the same data always take the same way).
    NaN when a cut comes between the two ranks: then each must be looked for alone.
    """
    rows, none = len(y), np.empty(0, np.int64)
    beside = 1e-12 * np.abs(y).max() / (x[-1] - x[0])
    order, above = np.arange(rows), -x
    below, until, stalls, guess = 0, total, 0, np.nan
    sample = max(rows, 2_000)
    for turn in range(60):
        left = until - below
        if left <= 10 * rows:
            slopes = slopes_between(y, x, order, above, np.arange(left))
            slopes = np.partition(slopes, high - below)
            upper: float = slopes[high - below]
            return upper if low == high else 0.5 * (upper + slopes[: high - below].max())
        want = ((np.arange(sample) + (0.5 + 0.618 * turn) % 1.0) * (left / sample)).astype(np.int64)
        slopes = np.sort(slopes_between(y, x, order, above, want))
        aim, margin = (low - below) / left * sample, (2.0 * np.sqrt(sample) + 2.0) / 4.0**stalls
        guess = slopes[min(int(aim), sample - 1)]
        first, last = slopes[max(int(aim - margin), 0)], slopes[min(int(aim + margin), sample - 1)]
        # beside and not at a slope of the data: the rounding of y - b x would tear its equals apart
        for cut in (first - beside, last + beside):
            cut_order = np.arange(rows)
            count = exchanges(cut_order, y - cut * x, none, none, none)
            if below < count <= low:
                below, order = count, cut_order
            elif high < count < until:
                until, above = count, y - cut * x
            elif low < count <= high:
                return np.nan  # the cut has come between the two ranks
        if until - below == left:
            if last - first <= beside:
                break  # all that is left are equal slopes
            stalls += 1  # many equal slopes near the middle: cut nearer to it
    return guess


@kernel
def median_slope(y: Floats, x: Floats) -> float:
    """Return the median of the slopes of all pairs with different x, NaN where there is no such pair."""
    rows = len(y)
    if rows * (rows - 1) // 2 <= FEW_PAIRS:
        slopes = all_slopes(y, x)
        return middle(slopes) if len(slopes) else np.nan
    none, sort = np.empty(0, np.int64), np.arange(rows)
    exchanges(sort, y.copy(), none, none, none)
    exchanges(sort, x[sort], none, none, none)
    y, x = y[sort] - y[sort[rows // 2]], x[sort] - x[sort[rows // 2]]
    total = exchanges(np.arange(rows), -x, none, none, none)
    low, high = (total - 1) // 2, total // 2
    slope: float = ranked_slopes(y, x, total, low, high)
    if np.isnan(slope):
        return 0.5 * (ranked_slopes(y, x, total, low, low) + ranked_slopes(y, x, total, high, high))
    return slope


@kernel
def rolling_huber(y: Floats, x: Floats, moments: Floats, window: int, intercept: bool) -> Floats:
    """Return alpha and beta in two rows, of each window that `moments` has and in which both legs vary."""
    lines = np.full((2, len(y)), np.nan)
    for row in range(window - 1, len(y)):
        mean_y, mean_x, yy, xy, xx = moments[:, row]
        if not (yy > 0.0 and xx > 0.0):
            continue
        if not intercept:
            xy, xx, mean_y, mean_x = xy + window * mean_x * mean_y, xx + window * mean_x * mean_x, 0.0, 0.0
        inside = slice(row - window + 1, row + 1)
        alpha, beta, _ = huber_line(y[inside] - mean_y, x[inside] - mean_x, xy / xx, intercept)
        lines[0, row], lines[1, row] = alpha + mean_y - beta * mean_x, beta
    return lines


@kernel
def theil_sen_line(y: Floats, x: Floats, intercept: bool) -> tuple[float, float]:
    """Return alpha and beta: the median slope of the pairs and the line through both medians; or of y/x, and 0."""
    if not intercept:
        some = x != 0.0
        return 0.0, middle(y[some] / x[some])
    beta = median_slope(y, x)
    return middle(y.copy()) - beta * middle(x.copy()), beta


@kernel
def rolling_theil_sen(y: Floats, x: Floats, moments: Floats, window: int, intercept: bool) -> Floats:
    """Return alpha and beta in two rows, of each window that `moments` has and in which both legs vary."""
    lines = np.full((2, len(y)), np.nan)
    for row in range(window - 1, len(y)):
        if moments[2, row] > 0.0 and moments[4, row] > 0.0:
            first = row - window + 1
            lines[0, row], lines[1, row] = theil_sen_line(y[first : row + 1], x[first : row + 1], intercept)
    return lines
