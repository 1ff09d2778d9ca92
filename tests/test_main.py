import subprocess
import sys

import sweepseg


def test_python_runs_the_package_as_the_command_line():
    def run(*arguments):
        command = [sys.executable, "-m", "sweepseg", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    assert run("--version") == (0, f"sweepseg {sweepseg.__version__}\n", "")
    assert run("check")[0] == 2
