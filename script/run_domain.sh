#!/usr/bin/env bash
# Route every sample of a plan to a domain. Further flags go to `python -m MetaCaptioner.inferdomain`.
#   MODEL=… PLAN=… OUTPUT=Output/Domain TP=1 NPROC=8 bash script/run_domain.sh
set -euo pipefail
source "$(command -p dirname "${BASH_SOURCE[0]}")/common.sh"
run_stage route --plan "${PLAN:-$ROOT/data/split_plan.jsonl}" \
  --output-dir "${OUTPUT:-$ROOT/Output/Domain}" "$@"
