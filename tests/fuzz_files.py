"""Have a fuzzer look for an upload that reading does not survive.

It needs atheris, which is for Linux and macOS only and not among the test requirements. Install it, and run this from
the project's folder; the options are libFuzzer's:

    pip install atheris
    python -m tests.fuzz_files -runs=1000000 -max_len=4096 -timeout=5

Of every input the first byte chooses what real file it begins with, and the rest is put after it. The hypothesis tests
in tests/uploads/test_limits.py look for the same in every run of the tests, for a second or two.
"""

import sys
from collections.abc import Callable


def make_target() -> Callable[[bytes], None]:
    """Return what the fuzzer calls; reading is imported in here, so that it can watch which lines it reaches."""
    from tests.uploads.test_limits import HEADS, read_or_refuse

    def try_file(data: bytes) -> None:
        head = HEADS[data[0] % len(HEADS)] if data else b""
        read_or_refuse(head + data[1:])

    return try_file


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
