"""Have a fuzzer look for a frame that a venue's parser does not survive.

It needs atheris, which is for Linux and macOS only and not among the test requirements. Install it, and run this from
the project's folder; the options are libFuzzer's:

    pip install atheris
    python -m tests.fuzz_parse -runs=1000000 -max_len=4096 -timeout=1

Of every input the first byte chooses a venue, the next three a real frame and a place in it, and the rest is put there.
The hypothesis tests in tests/feeds/test_venues.py look for the same in every run of the tests, for a second or two.
"""

import sys
from collections.abc import Callable


def make_target() -> Callable[[bytes], None]:
    """Return what the fuzzer calls; the parsers are imported in here, so that it can watch which lines they reach."""
    from tests.feeds.venue_samples import SAMPLES, a_tick, assert_documented

    frames = [
        (sample.venue, [sample.frame(a_tick(sample)), *map(str.encode, [*sample.quiet, sample.error[0]]), b""])
        for sample in SAMPLES
    ]

    def try_frame(data: bytes) -> None:
        which, frame, place, length, *_ = data[:4].ljust(4, b"\0")
        venue, texts = frames[which % len(frames)]
        text = texts[frame % len(texts)]
        start = place % (len(text) + 1)
        assert_documented(venue.parse(text[:start] + data[4:] + text[start + length :]))

    return try_frame


def main() -> None:
    """Run the fuzzer until it has had enough; it ends the process itself."""
    try:
        import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        sys.exit("atheris is not installed: `pip install atheris` (Linux and macOS), and run this again")
    with atheris.instrument_imports(include=["market", "pairscope"]):
        target = make_target()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
