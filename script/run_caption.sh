#!/usr/bin/env bash
# Caption every sample of a plan. Further flags go to `python -m MetaCaptioner.captionpipeline`.
#   MODEL=… PLAN=… OUTPUT=Output/Caption TP=1 NPROC=8 bash script/run_caption.sh
# A second pass, over the captions of earlier results instead of a plan:
#   MODEL=… INPUT=Output/Caption OUTPUT=Output/Short bash script/run_caption.sh --prompts-dir MetaCaptioner/prompts/shorten
set -euo pipefail
source "$(command -p dirname "${BASH_SOURCE[0]}")/common.sh"
WORK=(--plan "${PLAN:-$ROOT/data/split_plan.jsonl}")
if [ -n "${INPUT:-}" ]; then
  WORK=(--input "$INPUT")
  OUTPUT=${OUTPUT:?the folder of the second pass, beside that of the first}
fi
run_stage caption "${WORK[@]}" --output-dir "${OUTPUT:-$ROOT/Output/Caption}" "$@"
