"""`SHA256SUMS` of a released version, as `sha256sum` writes it: an edit of what was released is seen."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

SUMS = "SHA256SUMS"


def write(version: Path) -> None:
    """List the files of a released version."""
    lines = (f"{digest}  {name}\n" for name, digest in _present(version).items())
    (version / SUMS).write_text("".join(lines), "utf-8")


def altered(version: Path) -> list[str]:
    """Which files of a released version are not those that were released: a sentence each."""
    shown = "/".join(("schemas", *version.parts[-2:]))
    if not (version / SUMS).is_file():
        return [f"{shown}/{SUMS} is gone, and says what was released: git checkout {shown}/{SUMS}"]
    lines = (version / SUMS).read_text("utf-8").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    present = _present(version)
    found = [
        f"{shown}/{name} was released and is {'not what was released' if name in present else 'gone'}: "
        f"git checkout {shown}/{name}"
        for name, digest in sorted(listed.items())
        if present.get(name) != digest
    ]
    return found + [
        f"{shown}/{name} was not released with {version.name}: remove it" for name in sorted(present.keys() - listed)
    ]


def _present(version: Path) -> dict[str, str]:
    files = (path for path in sorted(version.iterdir()) if path.name != SUMS and path.is_file())
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files}
