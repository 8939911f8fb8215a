"""The two logs tell one story: whatever an answer showed is what was true at its instant."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from certstream.simulator import SimulatorConfig, User, serve
from certstream.simulator.life import MIX, Life
from certstream.simulator.population import Change, Population
from tests.simulator.caller import calling


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def list_at(truth: list[dict[str, Any]], n: int) -> dict[str, tuple[int, Any]]:
    """The list after change `n`: identifier → version, record."""
    rows: dict[str, tuple[int, Any]] = {}
    for line in truth[1:]:
        if line.get("n", n + 1) > n:
            continue
        if line["what"] == "delete":
            del rows[line["identifier"]]
        else:
            rows[line["identifier"]] = (line["version"], line["record"])
    return rows


async def test_every_answer_is_the_truth_of_its_instant(tmp_path: Path) -> None:
    config = SimulatorConfig(certificates=40, rate=300, latency=0.01, jitter=0.02, qps=0, seed=3)
    delivered: list[dict[str, Any]] = []
    async with calling(config, truth=tmp_path / "t", answers=tmp_path / "a") as caller:

        async def sweep() -> None:
            for page in range(1, 9):
                reply = await caller.call(CurrentPage=page, ShowSize=10)
                delivered.extend(reply.body["CertificateList"])

        for _ in range(3):
            await asyncio.gather(*(sweep() for _ in range(4)))
    truth, answers = lines(tmp_path / "t"), lines(tmp_path / "a")
    assert len(answers) == 96
    changes = [line for line in truth if "n" in line]
    assert [line["n"] for line in changes] == list(range(1, len(changes) + 1))
    assert len({answer["changes"] for answer in answers}) > 10, "the list moved while it was read"
    for answer in answers:
        assert answer["delivered"] is True
        before = [line for line in changes if line["at"] <= answer["snapshot"]]
        assert len(before) == answer["changes"], "the clocks say what the numbers say"
        rows = list_at(truth, answer["changes"])
        assert answer["total"] == len(rows)
        assert dict(answer["rows"]).items() <= {name: version for name, (version, _) in rows.items()}.items()
    told = {json.dumps(line["record"]) for line in changes}
    assert len(delivered) == sum(len(answer["rows"]) for answer in answers)
    assert all(json.dumps(record) in told for record in delivered)


async def test_the_truth_log_has_the_record_as_delivered(tmp_path: Path) -> None:
    async with calling(SimulatorConfig(certificates=5), truth=tmp_path / "t") as caller:
        simulator = caller.simulator
        new = simulator.issue(common_name="a.example", kind="SERVER", days=2, AliasName="first", Days=None)
        assert lines(tmp_path / "t")[-1]["identifier"] == new, "written at once"
        simulator.edit(new, AliasName="second", CustomIdentifier=None)
        heir = simulator.renew(new)
        simulator.revoke(new)
        delivered = {row["Identifier"]: row for row in await caller.everything()}
        simulator.delete(new)
        with pytest.raises(KeyError):
            simulator.delete(new)
    truth = lines(tmp_path / "t")
    assert truth[0]["what"] == "begin"
    assert truth[-1]["what"] == "end"
    told = [(line["what"], line["identifier"], line["version"]) for line in truth[1:-1]]
    assert [what for what, _, _ in told[:5]] == ["initial"] * 5
    assert told[5:] == [
        ("issue", new, 1), ("edit", new, 2), ("renew", heir, 1), ("revoke", new, 3), ("delete", new, 4),
    ]  # fmt: skip
    last = {line["identifier"]: line["record"] for line in truth[1:-2]}
    assert delivered == last
    assert truth[-2]["record"] is None
    assert (delivered[new]["AliasName"], delivered[new]["CommonName"]) == ("second", "a.example")
    assert "Days" not in delivered[new]
    for name in ("SubjectDN", "Sans", "CertificateType", "ParentIdentifier"):
        assert delivered[heir][name] == delivered[new][name]
    assert delivered[heir]["X509Certificate"] != delivered[new]["X509Certificate"]


async def test_secrets_are_not_logged(tmp_path: Path) -> None:
    users = {"LTAIx": User("verysecret", "77", "tokentoken")}
    async with calling(SimulatorConfig(users=users), truth=tmp_path / "t") as _:
        pass
    text = (tmp_path / "t").read_text()
    assert "77" in text
    assert "verysecret" not in text
    assert "tokentoken" not in text


async def test_the_life_script_ends_and_says_so(tmp_path: Path) -> None:
    config = SimulatorConfig(certificates=10, rate=200, stop_changes_after=0.3)
    async with calling(config, truth=tmp_path / "t") as caller:
        await asyncio.sleep(0.8)
        seen = caller.simulator.population.last
    truth = lines(tmp_path / "t")
    (quiet,) = (n for n, line in enumerate(truth) if line["what"] == "quiet")
    assert 0.3 <= truth[quiet]["at"] - truth[10]["at"] < 0.6
    assert quiet == len(truth) - 2, "nothing happens after it"
    assert 10 + 30 < seen < 10 + 100


def test_the_life_script_follows_from_the_seed_and_does_everything() -> None:
    def life(seed: int) -> list[tuple[str, str]]:
        told: list[Change] = []
        population = Population(SimulatorConfig(certificates=100, seed=seed), tell=told.append)
        population.settle()
        script = Life(population)
        for _ in range(300):
            script.step()
        for change in told:
            if change.record is not None:
                assert orjson.loads(change.record)["Identifier"] == change.identifier
        return [(change.what, change.identifier) for change in told]

    first = life(1)
    assert first == life(1) != life(2)
    counts = {what: sum(1 for told, _ in first if told == what) for what, _ in MIX}
    assert all(abs(counts[what] - 300 * share) < 40 for what, share in MIX), counts


def test_the_life_script_revives_an_empty_account() -> None:
    population = Population(SimulatorConfig(certificates=0))
    script = Life(population)
    assert script.step() == "issue"
    for _ in range(200):
        script.step()


def test_every_edit_changes_the_row() -> None:
    told: list[Change] = []
    population = Population(SimulatorConfig(certificates=3, resource_groups=("rg-only",)), tell=told.append)
    population.settle()
    script = Life(population)
    for _ in range(400):
        script.step()
    rows: dict[str, bytes | None] = {}
    for change in told:
        assert rows.get(change.identifier) != change.record
        rows[change.identifier] = change.record


async def test_serve_announces_its_address_and_ends_when_told(tmp_path: Path) -> None:
    until, told = asyncio.Event(), asyncio.Event()
    said: list[str] = []

    def announce(line: str) -> None:
        said.append(line)
        told.set()

    config = SimulatorConfig(certificates=4)
    task = asyncio.create_task(
        serve(config, truth=tmp_path / "t", answers=tmp_path / "a", until=until, announce=announce)
    )
    await asyncio.wait_for(told.wait(), 5)
    assert said[0].startswith("listening on http://127.0.0.1:")
    until.set()
    await asyncio.wait_for(task, 5)
    assert lines(tmp_path / "t")[-1]["what"] == "end"


async def test_a_port_that_is_taken_is_an_error_and_the_truth_log_still_ends(tmp_path: Path) -> None:
    async with calling() as caller:
        config = SimulatorConfig(certificates=1, port=caller.simulator.port)
        with pytest.raises(OSError, match="in use"):
            await serve(config, truth=tmp_path / "t", answers=None, until=asyncio.Event(), announce=print)
    assert [line["what"] for line in lines(tmp_path / "t")] == ["begin", "initial", "end"]


SCRIPT = """
import asyncio, sys
from pathlib import Path
from certstream.simulator import SimulatorConfig, serve
config = SimulatorConfig(certificates=20, rate=500)
asyncio.run(serve(config, truth=Path(sys.argv[1]), answers=None, until=asyncio.Event(),
                  announce=lambda line: print(line, flush=True)))
"""


def test_the_truth_log_is_whole_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "t"
    child = subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    while len(path.read_bytes().splitlines()) < 60:
        assert child.poll() is None
    os.kill(child.pid, signal.SIGTERM)
    child.wait(5)
    child.stdout.close()
    truth = lines(path)
    assert path.read_bytes().endswith(b"}\n")
    assert [line["n"] for line in truth[1:]] == list(range(1, len(truth)))
