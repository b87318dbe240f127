#!/usr/bin/env python3
"""Makes a virtual environment with the pinned packages, and the stubs from proto/.

    python3 examples/python/build.py            # under target/python
    python3 examples/python/build.py DIRECTORY  # elsewhere

Prints the environment's Python, with which seller.py is run. What is there already is kept.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REQUIREMENTS = HERE / "requirements.txt"


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "target" / "python"
    environment, stubs = target / "venv", target / "stubs"
    python = environment / "bin" / "python"
    installed = target / "installed.txt"
    wanted = REQUIREMENTS.read_text()
    if not python.exists() or not installed.exists() or installed.read_text() != wanted:
        run(sys.executable, "-m", "venv", environment)
        run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", REQUIREMENTS)
        installed.write_text(wanted)
    stubs.mkdir(parents=True, exist_ok=True)
    protos = sorted((ROOT / "proto" / "orderstream" / "v1").glob("*.proto"))
    run(
        python, "-m", "grpc_tools.protoc", f"--proto_path={ROOT / 'proto'}",
        f"--python_out={stubs}", f"--grpc_python_out={stubs}", *protos,
    )
    print(python)


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
