#!/usr/bin/env bash
# From nothing to filtered captions of data/demo, on two ranks: set-up, plan, route, caption, score, filter, verify, report.
# MODEL names another model. Flags go to all three stages. Safe to repeat: what is done is not done again.
set -euo pipefail
source "$(command -p dirname "${BASH_SOURCE[0]}")/safe_paths.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash script/setup.sh
WANTED_MODEL=${MODEL:-}
source script/common.sh
ranks_here

# Captions of one model are not mixed with another's.
DEMO=${DEMO:-Output/demo${WANTED_MODEL:+-$(basename "$WANTED_MODEL")}}
PLAN=$DEMO/split_plan.jsonl
mkdir -p "$DEMO"
FLAGS=("$@")
if [ "$GPUS" = 0 ]; then
  NPROC=2
  if [ -z "$WANTED_MODEL" ]; then
    MODEL=data/demo/model
    FLAGS=(--prompts-dir data/demo/prompts "$@")
    cat <<'NOTE'
------------------------------------------------------------------------------------------
No GPU and no MODEL: a tiny Qwen2.5-VL (data/demo/model) that was trained on drawings like
those of the demo, with prompts of its own (data/demo/prompts). It knows nothing else.
------------------------------------------------------------------------------------------
NOTE
  fi
elif [ "$NPROC" -gt 2 ]; then
  NPROC=2
fi
export MODEL TP NPROC NNODES PYTHON

step() { printf '\n== %s\n' "$*"; }

step "plan: two ranks"
METAFILE=data/demo/Metafile.json PLAN=$PLAN NUM_RANKS=2 bash script/run_plan.sh
step "route"
PLAN=$PLAN OUTPUT=$DEMO/Domain bash script/run_domain.sh "${FLAGS[@]}"
step "caption"
PLAN=$PLAN OUTPUT=$DEMO/Caption bash script/run_caption.sh "${FLAGS[@]}"
step "score"
OUTPUT=$DEMO/Caption bash script/run_filter.sh "${FLAGS[@]}"
step "filter"
run_tool filterd_by_score --data-folder "$DEMO/Caption" --min-overall 3 --min-dim-score 3
step "verify"
run_tool verify --plan "$PLAN" --data-folder "$DEMO/Domain"
run_tool verify --plan "$PLAN" --data-folder "$DEMO/Caption" --scores
step "report"
run_tool report --data-folder "$DEMO/Caption"

cat <<DONE

The demo is done. What was made:
  $PLAN   which rank does what
  $DEMO/Domain/Rank*_node*_*.jsonl          the domain of every picture and clip
  $DEMO/Caption/Rank*_node*_*.jsonl         the captions, with every agent's text
  $DEMO/Caption/score/Rank*_node*_*.jsonl   the judge's marks
  $DEMO/Caption/filtered/                   kept.jsonl, rejected.jsonl, summary.json

To see it, open this page in a browser:
  $DEMO/Caption/report.html
DONE
