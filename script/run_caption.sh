#!/usr/bin/env bash
# Caption every sample of a plan. Further flags go to `python -m MetaCaptioner.captionpipeline`.
#   MODEL=… PLAN=… OUTPUT=Output/Caption TP=1 NPROC=8 bash script/run_caption.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_stage MetaCaptioner.captionpipeline --plan "${PLAN:-$ROOT/data/split_plan.jsonl}" \
  --output-dir "${OUTPUT:-$ROOT/Output/Caption}" "$@"
