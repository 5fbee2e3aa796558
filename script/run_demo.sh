#!/usr/bin/env bash
# From nothing to filtered captions of data/demo, on two ranks: set-up, then `metacaptioner run`, which loads the model once.
# MODEL names another model. Flags go to that command. Safe to repeat: what is done is not done again.
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

_METACAPTIONER_PROGRAM=$0 "$PYTHON" -m MetaCaptioner run data/demo/Metafile.json --output "$DEMO" --routes "${FLAGS[@]}"
export _METACAPTIONER_IS_PART=1  # what comes next is said below
step "verify"
run_tool verify --plan "$PLAN" --data-folder "$DEMO/Domain"
run_tool verify --plan "$PLAN" --data-folder "$DEMO/Caption" --scores

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
