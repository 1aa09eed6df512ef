"""What time it is at a venue, while this machine's clocks do what they like."""

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from market import HOUR, SECOND
from pairscope.recording.clock import VenueClock, http_date_ms

T0 = 1_700_000_040_000


class Machine:
    """Both clocks of a machine."""

    def __init__(self) -> None:
        self.wall_ms, self.seconds = T0, 500.0
        self.venue = VenueClock(clock=lambda: self.wall_ms, monotonic=lambda: self.seconds)

    def run(self, seconds: float) -> None:
        self.wall_ms += round(seconds * 1000)
        self.seconds += seconds


def measured(venue_ms: int = T0) -> Machine:
    machine = Machine()
    machine.venue.measure(venue_ms, 0.0)
    return machine


def test_before_the_venue_has_spoken_our_own_clock_is_believed() -> None:
    machine = Machine()
    assert (machine.venue.now_ms(), machine.venue.skew_ms) == (T0, None)


def test_the_venues_time_is_taken_from_the_middle_of_the_request() -> None:
    machine = Machine()
    machine.run(0.4)
    machine.venue.measure(T0 - 3 * SECOND, 0.4)
    assert (machine.venue.skew_ms, machine.venue.now_ms()) == (3_200, T0 - 2_800)


def test_an_hour_of_sleep_is_seen_by_the_wall_clock() -> None:
    machine = measured(T0 - 5 * SECOND)
    machine.wall_ms += HOUR  # the monotonic clock stands still
    assert machine.venue.now_ms() == T0 - 5 * SECOND + HOUR


def test_a_wall_clock_that_is_set_back_makes_no_trade_look_like_one_of_the_future() -> None:
    machine = measured()
    machine.wall_ms -= 24 * HOUR
    machine.run(10)
    assert machine.venue.now_ms() == T0 + 10 * SECOND


def test_a_jump_of_either_clock_is_noticed_until_the_next_look() -> None:
    machine = measured()
    machine.run(600)
    assert not machine.venue.jumped()
    machine.wall_ms -= HOUR
    assert machine.venue.jumped()
    machine.venue.look()
    assert not machine.venue.jumped()


def test_a_date_header_corrects_a_clock_that_is_far_off() -> None:
    machine = Machine()
    machine.venue.note_date(formatdate((T0 - HOUR) / 1000, usegmt=True))
    assert machine.venue.now_ms() == T0 - HOUR + 500
    assert machine.venue.skew_ms == HOUR - 500


def test_a_date_header_leaves_alone_what_it_does_not_know_better() -> None:
    machine = Machine()
    machine.venue.note_date(formatdate((T0 - SECOND) / 1000, usegmt=True))
    assert machine.venue.skew_ms is None
    machine.venue.measure(T0 - HOUR, 0.0)
    machine.venue.note_date(formatdate(T0 / 1000, usegmt=True))
    assert machine.venue.skew_ms == HOUR


def test_in_doubt_date_headers_count_again() -> None:
    machine = measured(T0 - HOUR)
    machine.venue.doubt()
    machine.venue.note_date(formatdate(T0 / 1000, usegmt=True))
    assert machine.venue.skew_ms == -500


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{2,5} [0-9:]{5,9} (GMT|-0000|\+9999)"))
def test_no_text_breaks_the_reading_of_a_date(text: str) -> None:
    assert isinstance(http_date_ms(text), int | None)


def test_a_date_is_read_to_the_second_with_or_without_a_time_zone() -> None:
    date = formatdate(T0 / 1000, usegmt=True)
    assert http_date_ms(date) == http_date_ms(date.replace("GMT", "-0000")) == T0
