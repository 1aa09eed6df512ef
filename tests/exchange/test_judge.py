"""The judge finds what is missing, wrong or there twice, and believes no gap that says what is not so."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from market import Gap, Hole, Instrument, Tick
from store import SqliteStore
from tests.exchange.judge import Shown, Verdict, judge
from tests.exchange.ledger import Ledger

T0 = 1_790_000_000_000
BTC = Instrument("binance-spot", "BTCUSDT")


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger(("BTCUSDT",), seed=4)
    ledger["BTCUSDT"].make(100, T0 + 30_000, since_ms=T0)
    return ledger


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "ticks.db", clock=lambda: T0, commit_ms=1)
    yield store
    store.close()


def ticks_of(ledger: Ledger) -> list[Tick]:
    """Return the trades of the ledger as a sound feed reads them."""
    rows = ledger["BTCUSDT"].trades(0, 2**62)
    return [
        Tick(*BTC, row.trade_id, row.time_ms, float(row.price), float(row.qty), "sell" if row.buyer_is_maker else "buy")
        for row in rows
    ]


def judged(ledger: Ledger, store: SqliteStore, **options: Sequence[str]) -> Verdict:
    return judge(ledger, store, venue="binance-spot", **options)  # type: ignore[arg-type]


def hole(ticks: Sequence[Tick], start: int, stop: int) -> Hole:
    """Return the hole that the trades from `start` to before `stop` leave."""
    return Hole(
        BTC, ticks[start].trade_id, ticks[stop - 1].trade_id, ticks[start - 1].time_ms, ticks[stop].time_ms, "cut"
    )


def test_a_store_with_everything_is_whole(ledger: Ledger, store: SqliteStore) -> None:
    store.append(ticks_of(ledger)).result()
    verdict = judged(ledger, store)
    assert verdict.whole
    assert verdict.line() == (
        "seed=4 sent=100 stored=100 missing=0 unexplained=0 duplicates=0 wrong=0 invented=0 gaps_open=0 violations=0"
    )
    assert verdict.findings[0].id_sums[0] == verdict.findings[0].id_sums[1]


def test_what_was_made_before_the_first_stored_trade_is_not_missing(ledger: Ledger, store: SqliteStore) -> None:
    store.append(ticks_of(ledger)[40:]).result()
    assert judged(ledger, store).whole
    first = {"BTCUSDT": ledger["BTCUSDT"].first_id}
    assert len(judge(ledger, store, venue="binance-spot", first_ids=first).findings[0].missing) == 40


def test_a_missing_trade_without_a_gap_is_unexplained(ledger: Ledger, store: SqliteStore) -> None:
    ticks = ticks_of(ledger)
    store.append(ticks[:50] + ticks[51:]).result()
    verdict = judged(ledger, store)
    assert verdict.findings[0].unexplained.tolist() == [ticks[50].trade_id]
    assert f"unexplained [{ticks[50].trade_id}]" in verdict.line()
    assert not verdict.clean


def test_a_missing_trade_in_an_open_gap_is_explained_but_not_whole(ledger: Ledger, store: SqliteStore) -> None:
    ticks = ticks_of(ledger)
    store.append(ticks[:50] + ticks[53:], holes=[hole(ticks, 50, 53)]).result()
    verdict = judged(ledger, store)
    assert (verdict.clean, verdict.whole) == (True, False)
    assert "missing=3 unexplained=0" in verdict.line()
    assert "gaps_open=1" in verdict.line()


def test_a_gap_called_empty_over_real_trades_is_a_lie(ledger: Ledger, store: SqliteStore) -> None:
    ticks = ticks_of(ledger)
    store.append(ticks[:50] + ticks[53:], holes=[hole(ticks, 50, 53)]).result()
    store.close_gap(store.gaps()[0].key, "empty", "the venue said so").result()
    verdict = judged(ledger, store)
    assert not verdict.clean
    assert "is called empty, but 3 of its trades are missing" in verdict.line()


def test_ids_that_never_were_trades_are_not_missing(ledger: Ledger, store: SqliteStore) -> None:
    ledger["BTCUSDT"].skip(5, T0 + 31_000)
    ledger["BTCUSDT"].make(10, T0 + 32_000)
    ticks = ticks_of(ledger)
    gap = Hole(BTC, ticks[99].trade_id + 1, ticks[100].trade_id - 1, ticks[99].time_ms, ticks[100].time_ms, "jump")
    store.append(ticks, holes=[gap]).result()
    store.close_gap(store.gaps()[0].key, "empty", "the venue has no such trades").result()
    assert judged(ledger, store).whole


@pytest.mark.parametrize("wrong", [{"price": 1.5}, {"qty": 99.0}, {"side": None}, {"time_ms": T0 + 1}])
def test_a_trade_with_other_values_is_wrong(ledger: Ledger, store: SqliteStore, wrong: dict[str, float]) -> None:
    ticks = ticks_of(ledger)
    row = next(n for n, tick in enumerate(ticks) if tick.side == "sell" and tick.time_ms > T0 + 10)
    ticks[row] = ticks[row]._replace(**wrong)  # type: ignore[arg-type]
    store.append(ticks).result()
    verdict = judged(ledger, store)
    assert verdict.findings[0].wrong.tolist() == [ticks[row].trade_id]
    assert not verdict.clean


def test_an_invented_trade_and_its_bar_are_found(ledger: Ledger, store: SqliteStore) -> None:
    ticks = ticks_of(ledger)
    invented = ticks[-1]._replace(trade_id=ticks[-1].trade_id + 1, price=9e9)
    store.append([*ticks, invented]).result()
    verdict = judged(ledger, store)
    assert verdict.findings[0].invented.tolist() == [invented.trade_id]
    assert verdict.findings[0].bars_outside == 2


class Doubling(SqliteStore):
    """A store that gives one trade twice, which the real one cannot."""

    def ticks(
        self, symbol: str | Instrument, start: int | None = None, end: int | None = None
    ) -> Iterator[Sequence[Tick]]:
        for batch in super().ticks(symbol, start, end):
            yield [*batch, *(tick for tick in batch if tick.trade_id % 1_000_000 == 8)]


def test_a_trade_that_is_there_twice_is_found(ledger: Ledger, tmp_path: Path) -> None:
    store = Doubling(tmp_path / "ticks.db", clock=lambda: T0)
    store.append(ticks_of(ledger)).result()
    verdict = judged(ledger, store)
    store.close()
    assert verdict.findings[0].duplicates.tolist() == [ledger["BTCUSDT"].first_id + 7]
    assert not verdict.clean


def test_a_shown_price_that_is_not_stored_is_found(ledger: Ledger, store: SqliteStore) -> None:
    ticks = ticks_of(ledger)
    store.append(ticks).result()
    true = [Shown("BTCUSDT", tick.time_ms, tick.price) for tick in ticks[:5]]
    assert judge(ledger, store, venue="binance-spot", shown=true).clean
    false = [*true, Shown("BTCUSDT", ticks[0].time_ms, 0.5)]
    assert judge(ledger, store, venue="binance-spot", shown=false).findings[0].shown_unstored == 1


def test_broken_limits_and_abandoned_gaps_without_a_reason_are_not_clean(ledger: Ledger, store: SqliteStore) -> None:
    store.append(ticks_of(ledger)).result()
    assert not judged(ledger, store, violations=["messages: 6 within a second"]).clean
    gap = Gap(1, BTC, 1, 2, T0, T0, T0, "cut", "abandoned", 0, T0, "")
    store.gaps = lambda *_, **__: (gap,)  # type: ignore[method-assign]
    assert "abandoned without a reason" in judged(ledger, store).line()


def test_nothing_stored_is_everything_missing(ledger: Ledger, store: SqliteStore) -> None:
    verdict = judged(ledger, store)
    assert (verdict.findings[0].stored, len(verdict.findings[0].unexplained)) == (0, 100)
