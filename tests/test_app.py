"""The front door: what is wrong at the start is one sentence, whichever way the app is started."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from store import SqliteStore
from tests.faults.desk import ROOT, environment, free_port, streamlit


@dataclass(frozen=True)
class Mistake:
    """One way to get it wrong, and how the answer begins."""

    name: str
    answer: str
    key: str = ""
    value: str = ""
    config: str = ""
    argument: str = ""


MISTAKES = (
    Mistake("unknown key", "unknown setting 'PAIRSCOPE_STOER'", "PAIRSCOPE_STOER", "x"),
    Mistake(
        "unknown venue", "PAIRSCOPE_VENUE in the environment: unknown venue 'binanec'", "PAIRSCOPE_VENUE", "binanec"
    ),
    Mistake("bad toml", "pairscope.toml is not valid TOML", config="venue = ["),
    Mistake("no folder", "{folder}/none does not exist", "PAIRSCOPE_STORE", "sqlite:///{folder}/none/x.db"),
    Mistake(
        "newer schema", "newer.db has schema 999, written by a newer Pairscope", "PAIRSCOPE_STORE", "sqlite:///newer.db"
    ),
    Mistake("no log", "log_file: {folder}/none/x.log cannot be written", "PAIRSCOPE_LOG_FILE", "{folder}/none/x.log"),
    Mistake("wrong argument", "unknown argument '--dmeo'", argument="--dmeo"),
)
WAYS = ("streamlit run app.py", "python app.py")
Answers = dict[tuple[str, str], tuple[Path, int, str]]


def begin(mistake: Mistake, way: str, folder: Path) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True)
    if mistake.config:
        (folder / "pairscope.toml").write_text(mistake.config, encoding="utf-8")
    if mistake.name == "newer schema":
        SqliteStore(folder / "newer.db", clock=lambda: 0).close()
        with closing(sqlite3.connect(folder / "newer.db")) as db:
            db.execute("PRAGMA user_version = 999")
    command = [sys.executable, str(ROOT / "app.py")] if way == WAYS[1] else streamlit(ROOT, free_port())
    command += (["--"] if way == WAYS[0] else []) + [mistake.argument] if mistake.argument else []
    env = environment(**({mistake.key: mistake.value.format(folder=folder)} if mistake.key else {}))
    with (folder / "errors").open("wb") as errors:
        return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=errors)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """What each start ended with; they are begun together."""
    root, begun, found = tmp_path_factory.mktemp("mistakes"), {}, Answers()
    try:
        for way in WAYS:
            for mistake in MISTAKES:
                folder = root / way.split()[0] / mistake.name.replace(" ", "_")
                begun[mistake.name, way] = folder, begin(mistake, way, folder)
        for case, (folder, process) in begun.items():
            code = process.wait(timeout=60)
            found[case] = folder, code, (folder / "errors").read_text(encoding="utf-8")
        yield found
    finally:
        for _, process in begun.values():
            process.kill()
            process.wait()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_answered_by_one_sentence_and_exit_code_2(mistake: Mistake, way: str, answers: Answers) -> None:
    folder, code, errors = answers[mistake.name, way]
    assert errors.startswith("pairscope: ")
    assert mistake.answer.format(folder=folder) in errors
    assert errors.count("\n") == 1
    assert code == 2
