#!/usr/bin/env bash
# Set up and run all tests. Flags go to pytest, so `bash script/run_tests.sh -m 'not engine'` leaves out the slow ones.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$ROOT/script/setup.sh" --dev
cd "$ROOT"
exec .venv/bin/python -m pytest "$@"
