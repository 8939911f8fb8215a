"""Lock files: one process on a host holds a user's calls, and the next one knows whether it has to wait."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from certstream.core.errors import Fatal, Transient
from certstream.ports import Held
from certstream.source import locks as module
from certstream.source.claim import Claim, NotYet, world
from certstream.source.credentials import Credentials, Key, static
from certstream.source.locks import Locks, Record


def of(folder: Path, at: float = 1000.0) -> Locks:
    return Locks(folder, boot=lambda: at, patience=11.0)


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_second_holder_is_refused_with_who_holds_it(tmp_path: Path) -> None:
    first = of(tmp_path)
    assert first.hold("a", "user 1") <= 0
    assert first.hold("a", "user 1") <= 0  # two accounts of one process share it
    of(tmp_path).hold("b", "user 2")
    with pytest.raises(Held, match=rf"process {os.getpid()} on this host \(certstream.* since 20.*of user 1: stop"):
        of(tmp_path).hold("a", "user 1")
    first.release(1000.0)
    assert of(tmp_path).hold("a", "user 1") <= 0


@pytest.mark.parametrize(
    ("released", "at", "left"),
    [
        (1000.0, 1000.0, 0.0),
        (1001.0, 1000.2, 0.8),  # `check` ends before its slots are back
        (None, 1000.0, 11.0),  # it does not know
        (9e9, 1000.0, 11.0),  # nonsense keeps nobody waiting for ever
    ],
)
def test_who_comes_after_waits_until_all_slots_are_back(
    tmp_path: Path, released: float | None, at: float, left: float
) -> None:
    before = of(tmp_path)
    before.hold("a", "user 1")
    before.release(released)
    assert of(tmp_path, at).hold("a", "user 1") == pytest.approx(left)


def _die(folder: Path) -> None:
    of(folder).hold("a", "user 1")
    os.kill(os.getpid(), 9)


def test_who_comes_after_one_that_was_killed_waits_and_hands_the_rest_on(tmp_path: Path) -> None:
    victim = multiprocessing.get_context("spawn").Process(target=_die, args=(tmp_path,))
    victim.start()
    victim.join(20)
    assert victim.exitcode == -9
    next_one = of(tmp_path, 1000.0)
    assert next_one.hold("a", "user 1") == pytest.approx(11.0)
    next_one.release(1003.0)  # it never called
    assert of(tmp_path, 1003.0).hold("a", "user 1") == pytest.approx(8.0)


def _full(folder: Path, die: bool) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
    locks = of(folder)
    locks.hold("a", "user 1")
    if die:
        os.kill(os.getpid(), 9)
    (folder / "held").touch()
    while not (folder / "seen").exists():
        time.sleep(0.01)


@pytest.mark.parametrize("before", [False, True])
def test_where_there_is_no_room_for_the_record_it_is_held_and_not_released(tmp_path: Path, before: bool) -> None:
    if before:
        first = of(tmp_path)
        first.hold("a", "user 1")
        first.release(1000.0)
    made = multiprocessing.get_context("spawn")
    holder = made.Process(target=_full, args=(tmp_path, False), daemon=True)
    holder.start()
    while not (tmp_path / "held").exists():
        assert holder.is_alive()
        time.sleep(0.01)
    with pytest.raises(Held, match="another process"):
        of(tmp_path).hold("a", "user 1")
    (tmp_path / "seen").touch()
    holder.join(20)
    holder = made.Process(target=_full, args=(tmp_path, True), daemon=True)
    holder.start()
    holder.join(20)
    assert of(tmp_path, 1020.0).hold("a", "user 1") == pytest.approx(11.0)


def test_after_a_boot_nobody_calls_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of(tmp_path).hold("a", "user 1")
    path = only(tmp_path)
    record = msgspec.json.decode(path.read_bytes(), type=Record)
    path.unlink()
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(record, boot="another")))
    assert of(tmp_path).hold("a", "user 1") <= 0


@pytest.mark.parametrize(("text", "left"), [(b"", 0.0), (b"{", 11.0), (b"\xff" * 9000, 11.0)])
def test_what_cannot_be_read_counts_as_not_released(tmp_path: Path, text: bytes, left: float) -> None:
    of(tmp_path).hold("a", "user 1")
    path = only(tmp_path)
    path.unlink()
    path.write_bytes(text)
    assert of(tmp_path).hold("a", "user 1") == pytest.approx(left)


def test_a_lock_that_somebody_removed_is_taken_again_or_lost_to_who_was_quicker(tmp_path: Path) -> None:
    first = of(tmp_path)
    first.hold("a", "user 1")
    only(tmp_path).unlink()
    first.hold("a", "user 1")
    with pytest.raises(Held):
        of(tmp_path).hold("a", "user 1")
    only(tmp_path).unlink()
    second = of(tmp_path)
    second.hold("a", "user 1")
    for _ in range(2):
        with pytest.raises(Held):
            first.hold("a", "user 1")
    second.release(1000.0)
    first.hold("a", "user 1")


def test_every_user_of_the_host_may_lock_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        of(tmp_path).hold("a", "user 1")
    finally:
        os.umask(before)
    assert only(tmp_path).stat().st_mode & 0o777 == 0o666


def _a_link(folder: Path) -> None:
    (folder / "certstream-a.lock").symlink_to(folder / "elsewhere")


def _a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "certstream-a.lock")


def _a_file(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("")


@pytest.mark.parametrize("spoil", [_a_link, _a_pipe, _a_file])
def test_a_folder_that_cannot_be_used_is_told_once_and_everything_goes_on(
    tmp_path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "locks"
    folder.mkdir()
    spoil(folder)
    locks = of(folder)
    assert locks.hold("a", "user 1") <= 0
    assert locks.hold("a", "user 1") <= 0
    assert [one.msg for one in caplog.records if one.levelno >= logging.WARNING] == ["budget.unlocked"]
    assert locks.unusable is not None
    assert str(folder) in locks.unusable
    locks.release(1000.0)
    assert not (tmp_path / "locks" / "elsewhere").exists()


def test_the_folder_is_the_same_for_every_process_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    here = module.default_folder()
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/elsewhere")
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    assert module.default_folder() == here
    assert os.stat(here).st_mode & 0o1777 == 0o1777


def claim(
    folder: Path, key: str = "LTAI0001", endpoint: str = "https://cas.aliyuncs.com", **names: str | None
) -> Claim:
    named = {"role": None, "uid": None, **names}
    return Claim(static(key, "s"), budget="a", endpoint=endpoint, locks=of(folder), **named)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {}, True),
        ({}, {"endpoint": "https://cas.eu-central-1.aliyuncs.com"}, True),  # one user, whatever the region
        ({}, {"endpoint": "https://cas.example.org"}, False),
        ({}, {"key": "LTAI0002"}, False),
        ({"uid": "7"}, {"uid": "7", "key": "LTAI0002"}, True),
        ({"uid": "7"}, {}, True),  # only one of them has been told the UID
        ({"role": "acs:ram::7:role/a"}, {"role": "acs:ram::7:role/a", "key": "LTAI0002"}, True),
        ({"role": "acs:ram::7:role/a"}, {"role": "acs:ram::8:role/a"}, False),
    ],
)
async def test_two_processes_of_one_user_find_each_other(
    tmp_path: Path, one: dict[str, str], other: dict[str, str], same: bool
) -> None:
    first = claim(tmp_path, **one)
    await first.begin()
    second = claim(tmp_path, **other)
    if same:
        with pytest.raises(Held):
            await second.begin()
    else:
        await second.begin()


async def test_a_user_that_is_known_later_is_claimed_with_the_next_call(tmp_path: Path) -> None:
    first, second = claim(tmp_path, uid="7"), claim(tmp_path, key="LTAI0002")
    await first.begin()
    await second.begin()
    second.check()
    second.user("7")
    with pytest.raises(Held, match="of user 7"):
        second.check()
    assert first._locks is not None
    first._locks.release(1000.0)
    second.check()


async def test_no_call_while_those_of_a_process_that_was_killed_may_count(tmp_path: Path) -> None:
    killed = claim(tmp_path)
    await killed.begin()
    assert killed._locks is not None
    killed._locks.release(None)
    later = claim(tmp_path)
    await later.begin()
    with pytest.raises(NotYet, match="was killed"):
        later.check()


class Changing:
    """A source of keys that are renewed."""

    def __init__(self, token: str | None) -> None:
        self.number, self.token = 0, token

    async def current(self) -> Key:
        self.number += 1
        return Key(f"LTAI000{self.number}", "s", self.token)

    def refresh(self, refused: Key) -> None:
        """There is always another."""


@pytest.mark.parametrize(("token", "files"), [(None, 3), ("t", 1)])
async def test_a_rotated_key_is_claimed_too_but_not_each_temporary_one(
    tmp_path: Path, token: str | None, files: int
) -> None:
    one = Claim(
        Changing(token), budget="a", endpoint="https://cas.aliyuncs.com", role=None, uid=None, locks=of(tmp_path)
    )
    for _ in range(3):
        await one.current()
        one.check()
    assert len(os.listdir(tmp_path)) == files


async def test_a_key_that_becomes_another_budgets_waits_for_its_calls_and_lets_it_call(tmp_path: Path) -> None:
    now = [1000.0]
    locks = Locks(tmp_path, boot=lambda: now[0], patience=11.0)

    def of_budget(budget: str, credentials: Credentials) -> Claim:
        return Claim(credentials, budget=budget, endpoint="https://cas.aliyuncs.com", role=None, uid=None, locks=locks)

    rotated, other, third = Changing(None), static("LTAI0002", "s"), static("LTAI0001", "s")
    one, two, same = of_budget("a", rotated), of_budget("b", other), of_budget("a", third)
    for account in (one, two, same):
        await account.current()
        account.check()
    await one.current()  # now it is the other's key
    for _ in range(3):
        now[0] += 5
        two.check()
        with pytest.raises(NotYet, match=r"access key LTAI…0002 were paced by the budget b, .* 11 s"):
            one.check()
    now[0] += 11
    one.check()
    with pytest.raises(NotYet, match="the budget a"):
        two.check()
    await one.current()  # another key again
    one.check()
    now[0] += 11
    two.check()


@pytest.mark.parametrize("error", [Fatal("none"), Transient("away")])
async def test_credentials_that_are_not_there_yet_are_no_fault_of_the_lock(tmp_path: Path, error: Exception) -> None:
    class Away(Changing):
        async def current(self) -> Key:
            raise error

    one = Claim(Away(None), budget="a", endpoint="https://cas.aliyuncs.com", role=None, uid="7", locks=of(tmp_path))
    await one.begin()
    assert len(os.listdir(tmp_path)) == 1


def test_no_name_of_a_user_is_in_a_files_name(tmp_path: Path) -> None:
    claim(tmp_path, uid="1234567890").check()
    assert "1234567890" not in str(only(tmp_path))
    assert world("http://127.0.0.1:8080") != world("http://127.0.0.1:8081")
