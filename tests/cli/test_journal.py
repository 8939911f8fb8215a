"""`certstream journal copy` as its user meets it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from certstream.cli import app
from certstream.cli.exits import FATAL, USAGE
from certstream.cli.journal import name_of, settings_of, table
from certstream.config import Config, Kafka
from certstream.core.rows import Head, encode
from certstream.core.sharding import shard_of
from certstream.core.wire import ACCOUNTS, EVENTS, STATE, Put
from certstream.journal.sqlite import SqliteJournal
from certstream.journal.sqlite_shard import SqliteShard
from certstream.ports import JournalDoubt
from tests.journal.reading import values
from tests.real.kafka import Broker

runner = CliRunner()
SHARD = shard_of("prod", 12)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A journal with five events of one account."""

    async def make() -> None:
        journal = SqliteJournal(tmp_path / "old.db")
        shard = await journal.open(SHARD, lambda key, value: None)
        head = Head(form=1, lineage="0" * 16, budget="prod", uid=None, began=1, sequence=5)
        puts = [Put(EVENTS, b"prod/1", b"%d" % n, (("ce_id", b"%d" % n),)) for n in range(5)]
        await shard.commit([*puts, Put(ACCOUNTS, b"prod", b'{"budget":"prod"}'), Put(STATE, b"prod", encode(head))])
        await shard.close(release=True)
        await journal.close()

    asyncio.run(make())
    return tmp_path / "old.db"


def copying(*words: str) -> Result:
    return runner.invoke(app, ["journal", "copy", *words])


def test_a_history_moves_and_what_was_moved_is_one_json_object(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "made" / "new.db"
    result = copying(f"sqlite://{old}", f"sqlite://{new}", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["from"] == f"sqlite://{old}"
    assert told["to"] == f"sqlite://{new}"
    assert told["accounts"] == {"prod": SHARD}
    assert told["topics"]["events"]["records"] == 5
    assert told["topics"]["state"]["records"] == 1
    assert len(told["topics"]["events"]["sha256"]) == 64
    assert "copy events: 5 records" in result.stderr
    assert "verify events: 5 records" in result.stderr
    assert asyncio.run(values(SqliteJournal(new), EVENTS)) == [b"%d" % n for n in range(5)]


def test_a_person_is_told_what_was_moved_and_what_comes_next(old: Path, tmp_path: Path) -> None:
    result = copying(f"sqlite://{old}", f"sqlite://{tmp_path}/new.db")
    assert result.exit_code == 0
    assert "moved and read back" in result.stdout
    assert f"prod (partition {SHARD})" in result.stdout


def test_in_a_pipe_nothing_of_the_table_is_cut(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = copying(f"sqlite://{old}", f"sqlite://{tmp_path}/new.db")
    assert "…" not in result.stdout
    assert re.search(r"^events +5 +[0-9a-f]{64}$", result.stdout, re.MULTILINE)


def test_on_a_narrow_terminal_only_the_hash_is_folded_and_nothing_is_cut() -> None:
    out = io.StringIO()
    done = {"topics": {"inventory": {"records": 12345678, "sha256": "a" * 64}}, "accounts": {"prod": 1}, "seconds": 1}
    Console(file=out, width=50).print(table(done))
    assert "inventory  12345678  aaa" in out.getvalue()
    assert sum(line.count("a") for line in out.getvalue().splitlines() if "aaa" in line) == 64
    assert "name the new one" in " ".join(out.getvalue().split())


def test_a_source_that_another_process_writes_is_refused_with_its_id(old: Path, tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from certstream.journal.sqlite import SqliteJournal\n"
        "async def main():\n"
        "    await SqliteJournal(sys.argv[1]).open(3, lambda key, value: None)\n"
        "    print('open', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(old)], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            result = copying(f"sqlite://{old}", f"sqlite://{tmp_path}/new.db")
        finally:
            writer.kill()
    assert result.exit_code == FATAL
    assert f"being written by process {writer.pid}: stop that one first" in result.stderr
    assert not (tmp_path / "new.db").exists()


def test_a_copy_that_stopped_is_refused_with_what_to_remove(old: Path, tmp_path: Path) -> None:
    real, count = SqliteShard.commit, [0]

    async def commit(self: SqliteShard, puts: Sequence[Put]) -> None:
        count[0] += 1
        if count[0] > 2:
            raise JournalDoubt("the disk is full: make room")
        await real(self, puts)

    new = tmp_path / "new.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteShard, "commit", commit)
        result = copying(f"sqlite://{old}", f"sqlite://{new}")
    assert result.exit_code == FATAL
    assert f"make room; the copy is incomplete and of no use: remove {new}" in result.stderr
    config = tmp_path / "new.toml"
    config.write_text(f'journal = "sqlite://{new}"\n')
    before = asyncio.run(values(SqliteJournal(new), STATE))
    for words in (["once", "--config", str(config)], ["journal", "copy", f"sqlite://{old}", str(config)]):
        result = runner.invoke(app, words)
        assert result.exit_code == FATAL
        assert f"an incomplete copy of sqlite://{old}: remove it" in " ".join(result.stderr.split())
    assert asyncio.run(values(SqliteJournal(new), STATE)) == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["sqlite:///none.db", "sqlite:///{tmp}/new.db"], FATAL, "there is no journal at /none.db"),
        (["sqlite:///{tmp}/old.db", "sqlite:///{tmp}/../{name}/old.db"], USAGE, "the same journal"),
        (["sqlite:///{tmp}/old.db", "nats://there"], USAGE, "is not allowed"),
        (["sqlite:///{tmp}/old.db", "kafka://there:9092", "--to-prefix", "a b"], USAGE, "is not allowed"),
        (["sqlite:///{tmp}/old.db", "{tmp}/none.toml"], USAGE, "none.toml"),
    ],
)
def test_a_bad_request_is_told_and_nothing_is_made(
    old: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    result = copying(*(word.replace("{tmp}", str(tmp_path)).replace("{name}", tmp_path.name) for word in words))
    assert result.exit_code == code, result.output
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "new.db").exists()


def test_a_directory_in_place_of_a_journal_is_refused_with_what_to_name(tmp_path: Path) -> None:
    result = copying(f"sqlite://{tmp_path}", "sqlite:///nowhere/journal.db")
    assert result.exit_code == USAGE
    assert "is a directory" in result.output


def test_each_side_has_its_own_prefix_and_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Config.model_validate({"journal": "kafka://a:1", "topic_prefix": "one.", "kafka": {"replicas": 3}})
    same = settings_of("kafka://a:1", here, None)
    assert (same.topic_prefix, same.kafka) == ("one.", here.kafka)
    other = settings_of("kafka://a:1,b:2", here, "two.")
    assert other.kafka == Kafka(replicas=3, transactional_id_prefix="two")
    assert name_of(other) == "kafka://a:1,b:2 (two.*)"
    file = tmp_path / "there.toml"
    file.write_text('journal = "kafka://c:3"\ntopic_prefix = "three."\n')
    monkeypatch.setenv("CERTSTREAM_JOURNAL", "sqlite:///elsewhere.db")
    named = settings_of(str(file), None, None)
    assert (named.journal, named.topic_prefix) == ("kafka://c:3", "three.")


def test_to_kafka_with_a_prefix_and_back(old: Path, tmp_path: Path, kafka: Broker) -> None:
    prefix = f"cli{os.getpid()}."
    config = tmp_path / "kafka.toml"
    config.write_text(f'journal = "kafka://{kafka.bootstrap}"\ntopic_prefix = "{prefix}"\n')
    result = copying(f"sqlite://{old}", f"kafka://{kafka.bootstrap}", "--to-prefix", prefix)
    assert result.exit_code == FATAL
    assert "create them with `certstream topics apply`" in result.stderr
    assert runner.invoke(app, ["topics", "apply", "--config", str(config)]).exit_code == 0
    result = copying(f"sqlite://{old}", f"kafka://{kafka.bootstrap}", "--to-prefix", prefix, "--json")
    assert result.exit_code == 0, result.output
    there = json.loads(result.stdout)
    result = copying(str(config), f"sqlite://{tmp_path}/back.db", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["topics"] == there["topics"]
    assert asyncio.run(values(SqliteJournal(tmp_path / "back.db"), EVENTS)) == [b"%d" % n for n in range(5)]
