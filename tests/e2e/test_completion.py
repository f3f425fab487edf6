# SPDX-License-Identifier: BSD-3-Clause
"""conf/kedgectl.bash offers what kedgectl itself says that there is, and the names of the daemon."""

import os
import re

import pytest

from conftest import KEDGECTL, ROOT
from netns import execute

SCRIPT = r"""
source "$1"
COMP_LINE=$2 COMP_POINT=${#2}
read -ra COMP_WORDS <<<"$2"
[ "${2: -1}" = " " ] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { :; }
_kedgectl
printf '%s\n' "${COMPREPLY[@]}"
"""


def offered(line, **env):
    result = execute(["bash", "-c", SCRIPT, "bash", str(ROOT / "conf/kedgectl.bash"), f"kedgectl {line}"],
                     env={**os.environ, "PATH": f"{KEDGECTL.parent}:{os.environ['PATH']}", **env})
    assert result.stderr == ""
    return set(result.stdout.split())


def helped(*words):
    return execute([KEDGECTL, *words, "--help"]).stdout


def commands():
    """Nouns with their verbs, and commands without any."""
    text = helped().split("Flags, ")[0]
    nouns = {noun: verbs.split(", ") for noun, verbs in re.findall(r"^  ([a-z]+) +([a-z]+(?:, [a-z]+)+)$", text, re.M)}
    return nouns, set(re.findall(r"^  ([a-z]+)", text, re.M))


def test_nouns_commands_and_verbs():
    nouns, first = commands()
    assert {"graph", "trace"} < first and "why" in nouns["flow"]
    assert offered("") == first
    for noun, verbs in nouns.items():
        assert offered(f"{noun} ") == set(verbs), noun


def test_flags():
    assert offered("--") == set(re.findall(r"^  (--[a-z]+)", helped(), re.M))
    assert offered("graph --s") == {"--socket", "--svg"}


# Words of --help that are values, not properties.
VALUES = {"iface": {"port", "bridge", "follow", "bound", "static"}}


@pytest.mark.parametrize("noun", ["port", "bridge", "iface", "fdb", "neigh", "route", "flow"])
def test_properties(noun, tmp_path):
    arguments = re.search(rf"^  {noun} add (.*)$", helped(noun), re.M)[1]
    properties = set(re.findall(r"\b[a-z]+\b=?", arguments)) - VALUES.get(noun, set())
    object_of = "b m" if noun in ("fdb", "neigh") else "x"
    assert offered(f"{noun} add {object_of} ", KEDGE_SOCKET=f"{tmp_path}/none") == properties


def test_names_of_the_daemon(kedged):
    daemon = kedged("port add p1 devargs net_null0,no-rx=1\nflow add web proto=tcp\nname add /app/x 1\n")
    env = {"KEDGE_SOCKET": str(daemon.socket)}
    assert offered("port show ", **env) == {"p1"}
    assert offered("graph /ap", **env) == offered("trace /ap", **env) == {"/app"}
    assert offered("name read /app/", **env) == {"/app/x"}
    assert offered("flow why ", **env) == {"web", "src=", "dst=", "proto=", "sport=", "dport=", "iface=", "bridge=",
                                           "mac="}
    assert offered("flow why src=1.1.1.1 ds", **env) == {"dst="}
