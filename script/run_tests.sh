#!/usr/bin/env bash
# Set up and run all tests. Flags go to pytest, so `bash script/run_tests.sh -m 'not engine'` leaves out the slow ones.
set -euo pipefail
ROOT=$(CDPATH='' cd "$(command -p dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$ROOT/script/setup.sh" --dev
cd "$ROOT"
# Three files at a time: many slow tests mostly wait, for a process to load or a job to be requeued. One thread each: engines
# that share cores and have several threads slow each other down many times over.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# They start hundreds of processes, none of which should have to compile the project anew.
unset PYTHONDONTWRITEBYTECODE
exec .venv/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder "$@"
