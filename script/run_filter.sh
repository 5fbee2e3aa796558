#!/usr/bin/env bash
# Score every caption of a result folder. Further flags go to `python -m MetaCaptioner.inferscore`.
# --resample N captions what the judge rejects again, in up to N rounds.
# Then `python dataprocess/filterd_by_score.py --data-folder Output/Caption` keeps the good ones.
#   MODEL=… OUTPUT=Output/Caption TP=1 NPROC=8 bash script/run_filter.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_stage MetaCaptioner.inferscore --data-folder "${OUTPUT:-$ROOT/Output/Caption}" "$@"
