#!/usr/bin/env bash
# What captions are worth: questions about pictures, answered from their captions alone. Ends with the table.
#   MODEL=… QUESTIONS="MMMU_DEV_VAL.tsv AI2D_TEST.tsv" OUTPUT=Output/Eval TP=1 NPROC=8 bash script/run_eval.sh
# Each file of QUESTIONS (space between) becomes a dataset of OUTPUT/data; SPLIT takes one split of each. ANSWER_MODEL answers
# in place of MODEL, which then captions only. PICTURE=1 answers with the picture too. Further flags go to
# `python -m MetaCaptioner.evaluate`. Safe to repeat: what is done is not done again.
set -euo pipefail
source "$(command -p dirname "${BASH_SOURCE[0]}")/common.sh"
ranks_here
OUTPUT=${OUTPUT:-$ROOT/Output/Eval}
DATA=$OUTPUT/data
export _METACAPTIONER_IS_PART=1  # nothing is to be typed next
evaluate() { _METACAPTIONER_PROGRAM=$0 "$PYTHON" -m MetaCaptioner evaluate "$@"; }

for FILE in ${QUESTIONS:?files of questions, such as MMMU_DEV_VAL.tsv}; do
  NAME=$(basename "${FILE%.*}")
  [ -e "$DATA/$NAME.questions.jsonl" ] || run_tool build_metafile --format questions --input "$FILE" \
    --metafile "$DATA/Metafile.json" ${SPLIT:+--split "$SPLIT"} || [ -e "$DATA/$NAME.questions.jsonl" ]
done
# All of it is planned, as each kind of captions has its own done; a Metafile that has grown gets another plan.
PLAN=$DATA/plan-$(cksum < "$DATA/Metafile.json" | tr ' ' -).jsonl
"$PYTHON" -m MetaCaptioner.plan --metafile "$DATA/Metafile.json" --num-ranks "$((NPROC * NNODES))" --output "$PLAN" --if-missing

WHERE=(--metafile "$DATA/Metafile.json" --data-folder "$OUTPUT/Caption" --one-prompt "$OUTPUT/OnePrompt"
  --output-dir "$OUTPUT/answers" ${PICTURE:+--picture})
CAPTION=(--plan "$PLAN" --adopt-plan)
if [ -n "${ANSWER_MODEL:-}" ]; then
  evaluate "${WHERE[@]}" "${CAPTION[@]}" --caption-only "$@"
  evaluate "${WHERE[@]}" "$@" --model "$ANSWER_MODEL"
  exit
fi
evaluate "${WHERE[@]}" "${CAPTION[@]}" "$@"
# A rank that is done before others has not had their captions: what it lacked is answered now.
[ "$((NPROC * NNODES))" = 1 ] || evaluate "${WHERE[@]}" "$@"
