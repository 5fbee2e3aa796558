#!/usr/bin/env bash
# Cut the datasets of a Metafile into balanced shards. Further flags go to `python -m MetaCaptioner.plan`.
#   METAFILE=data/Metafile.json PLAN=data/split_plan.jsonl NUM_RANKS=32 RESULTS=Output/Caption bash script/run_plan.sh
set -euo pipefail
source "$(command -p dirname "${BASH_SOURCE[0]}")/common.sh"
ranks_here
exec "$PYTHON" -m MetaCaptioner.plan --metafile "${METAFILE:-$ROOT/data/Metafile.json}" \
  --num-ranks "${NUM_RANKS:-$((NPROC * NNODES))}" --output "${PLAN:-$ROOT/data/split_plan.jsonl}" \
  ${RESULTS:+--results "$RESULTS"} "$@"
