#!/usr/bin/env bash
# Score every caption of a result folder. Further flags go to `python -m MetaCaptioner.inferscore`.
# Then `python dataprocess/filterd_by_score.py --data-folder Output/Caption` keeps the good ones.
#   MODEL=… OUTPUT=Output/Caption TP=1 NPROC=8 bash script/run_filter.sh
# --resample N (or RESAMPLE=N) captions what MIN_OVERALL and MIN_DIM_SCORE (3 and 3) reject again, in up to N rounds;
# MIN_DIM_SCORE="3 accuracy=4" has a mark for one dimension.
set -euo pipefail
source "$(command -p dirname "${BASH_SOURCE[0]}")/common.sh"
run_stage score --data-folder "${OUTPUT:-$ROOT/Output/Caption}" \
  ${RESAMPLE:+--resample "$RESAMPLE"} ${MIN_OVERALL:+--min-overall "$MIN_OVERALL"} \
  ${MIN_DIM_SCORE:+--min-dim-score "$MIN_DIM_SCORE"} "$@"
