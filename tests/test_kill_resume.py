"""A training killed in each of the things it does, and resumed each time, against one that nobody killed."""

import json
import random
import subprocess
import sys

import pytest
from launching import ROOT, environment

from benchmarks.kill_resume import PHASES, plan


@pytest.mark.slow
def test_five_kills_change_no_bit_of_what_a_run_ends_with(tmp_path):
    """Its own process: it forks, which one with threads must not."""
    command = [sys.executable, "-m", "benchmarks.kill_resume", "--kills", "5", "--json"]
    done = subprocess.run(
        [*command, str(tmp_path / "result.json")],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["equal"] and result["differing"] == []
    assert sum(result["kills"].values()) == 5 and all(result["kills"][phase] >= 1 for phase in PHASES)
    assert result["launches"] >= 6  # the kills that landed, and the one that came to the end
    assert result["compared"] > result["updates"]  # the losses of each update, and the files


@pytest.mark.parametrize("kills", [4, 5, 20])
def test_kills_come_in_every_phase_and_those_of_a_runs_end_last(kills):
    for seed in range(20):
        phases = plan(kills, random.Random(seed))
        assert len(phases) == kills and set(phases) == set(PHASES)
        ends = [phase in ("evaluation", "export") for phase in phases]
        assert ends == sorted(ends)
