"""`python -m tests.schemas.compat`: nothing that was released may be broken (docs/contracts.md, "What may change").

`schemas/` is compared with every folder of `schemas/released/`: each JSON Schema by `tests.schemas.differences` and by
`jsoncompat` (as a writer's schema: whatever the newer allows, the older allows), the topics by
`tests.schemas.surface`. `--freeze VERSION` copies `schemas/` as a released version, once and for ever, and
`tests.schemas.sums` sees that it stays as it was released.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import jsoncompat

from tests.schemas.differences import differences
from tests.schemas.reading import SCHEMAS, document, schema_of, told
from tests.schemas.sums import altered, write
from tests.schemas.surface import lost

COMMON = "common.json"
"""No message: its definitions are copied into every file that uses them."""
ADVICE = (
    "Within version 1 a schema may only gain members, and what it promises may only become narrower. Take the change "
    "back, or publish it as a new type (….v2) beside the old one: docs/contracts.md, “What may change”."
)


def broken(old: Path, new: Path) -> list[str]:
    """What the schemas in the folder `new` break of those in `old`: a sentence each."""
    found: dict[str, list[str]] = {}
    for path in sorted(old.glob("*.json")):
        name = path.stem
        if not (new / path.name).is_file():
            said = ["the message is gone, and its readers still read it"]
        else:
            said = judged(schema_of(path), schema_of(new / path.name))
        for one in said:
            # A definition that many messages share is told once.
            found.setdefault(one, []).append(name)
    return [f"{', '.join(names)}: {one}" for one, names in found.items()] + lost(document(old), document(new))


def judged(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What one schema breaks of another."""
    said = differences(old, new)
    if not said and not _compatible(old, new):
        return ["jsoncompat finds that a record of the new schema could be refused by the old one, and not where"]
    return said


def _compatible(old: dict[str, Any], new: dict[str, Any]) -> bool:
    # What is forbidden in both alike cannot make a difference, and makes jsoncompat take any other change for a break.
    alike = {"not"} if old.get("not") == new.get("not") else set()
    verdict: bool = jsoncompat.check_compat(_plain(old, alike), _plain(new, alike), "serializer")
    return verdict


def _plain(schema: dict[str, Any], without: set[str]) -> str:
    """Without what jsoncompat 0.3.1 cannot read (`$id` makes it refuse every `$ref`), and with an `allOf` of one
    reference merged into its neighbours where they do not overlap, as it takes any change inside of one for a break."""
    plain = copy.deepcopy({key: value for key, value in schema.items() if key not in {"$id", "examples", *without}})
    return json.dumps(_merged(plain, plain.get("$defs", {})))


def _merged(value: Any, known: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_merged(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    match value.get("allOf"):
        case [{"$ref": str(reference)}]:
            target = known[reference.removeprefix("#/$defs/")]
            rest = {key: item for key, item in value.items() if key != "allOf"}
            if not (target.keys() & rest.keys()) - {"description", "examples"}:
                return _merged(target | rest, known)
    return {key: _merged(item, known) for key, item in value.items()}


def freeze(version: str, schemas: Path = SCHEMAS) -> Path:
    """Copy the present messages and topics as a released version. FileExistsError: what is released never changes."""
    target = schemas / "released" / version
    target.mkdir(parents=True)
    messages = [path for path in sorted(schemas.glob("*.json")) if path.name != COMMON]
    for path in (*messages, schemas / "asyncapi.yaml"):
        shutil.copyfile(path, target / path.name)
    write(target)
    return target


def main(words: list[str] | None = None) -> int:
    """Compare, or freeze. Exit code 1 where something is broken, or what was released is no longer what it was."""
    parser = argparse.ArgumentParser(prog="python -m tests.schemas.compat", description=__doc__)
    parser.add_argument("--schemas", type=Path, default=SCHEMAS, help="the folder to be judged")
    parser.add_argument("--freeze", metavar="VERSION", help="copy it as a released version, and do nothing else")
    given = parser.parse_args(words)
    if given.freeze:
        print(freeze(given.freeze, given.schemas))
        return 0
    released = sorted(path for path in (SCHEMAS / "released").iterdir() if path.is_dir())
    if edited := [one for version in released for one in altered(version)]:
        # Compared with that, the schemas could only be told wrongly.
        print("\n".join(edited), file=sys.stderr)
        return 1
    bad = 0
    for version in released:
        for sentence in broken(version, given.schemas):
            bad += 1
            print(f"breaks {version.name}: {sentence}.", file=sys.stderr)
    if bad:
        print(ADVICE, file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(told(main))
