#!/usr/bin/env bash
# Plan a dataset and submit route -> apply -> caption -> score -> filter, each to begin once the one before is complete.
#   MODEL=… METAFILE=data/Metafile.json NNODES=4 bash script/slurm/submit.sh
# Flags go to the stages. What is done is not done again, so the same command goes on where a chain has ended.
#
#   RUN            folder of everything that is made (Output): Domain, routed, Caption, the plans, logs
#   NNODES, TP     nodes (1); GPUs of one rank (1)
#   GPUS_PER_NODE  8; 0 for machines without
#   NPROC, CPUS    ranks on a node (GPUS_PER_NODE / TP); CPUs of one rank (8)
#   ARRAY          so many jobs of NNODES nodes each instead of one; each starts, is preempted and requeued by itself
#   ROUTE          no: caption right away; what has no task is routed in the same pass
#   PLAN           the plan to caption; made if it is not there
#   SBATCH_OPTIONS further options of sbatch, such as "--partition=gpu --time=24:00:00"; sbatch's own variables
#                  (SBATCH_ACCOUNT, SBATCH_PARTITION, SBATCH_TIMELIMIT, …) do as well
set -euo pipefail
TP=${TP:-1}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
NPROC=${NPROC:-$((GPUS_PER_NODE >= TP ? GPUS_PER_NODE / TP : 1))}
source "$(command -p dirname "${BASH_SOURCE[0]}")/../common.sh"
export METACAPTIONER=$ROOT TP NPROC NNODES
export METAFILE=${METAFILE:-$ROOT/data/Metafile.json}
export NUM_RANKS=$((NNODES * NPROC * ${ARRAY:-1}))
RUN=${RUN:-$ROOT/Output}
ROUTE=${ROUTE:-yes}
PLAN=${PLAN:-$RUN/split_plan.jsonl}
LOGS=$RUN/logs
SIZE=(--nodes="$NNODES" --ntasks-per-node="$NPROC" --cpus-per-task="${CPUS:-8}" --gpus-per-node="$GPUS_PER_NODE")
if [ -n "${ARRAY:-}" ]; then
  SIZE+=(--array="0-$((ARRAY - 1))" --output="$LOGS/%x-%A_%a.log")
fi

# The planner and apply_domains.py must know the domains of one's own too, and verify.py that a mixture is wanted;
# planner and verify.py whether media outside their root are.
PROMPTS=() KEEP=()
export OUTSIDE=
for ((number = 1; number <= $#; number++)); do
  case ${!number} in
  --prompts-dir) PROMPTS=(--prompts-dir "${@:number+1:1}") ;;
  --prompts-dir=*) PROMPTS=("${!number}") ;;
  --keep) KEEP=(--keep) ;;
  --allow-outside-root) OUTSIDE=--allow-outside-root ;;
  esac
done

# submit STAGE OPTIONS... -- FLAGS...: submits STAGE.sbatch after the stage before it.
AFTER=''
submit() {
  local stage=$1 options=() job
  shift
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  # shellcheck disable=SC2086 SBATCH_OPTIONS is a list of words
  job=$(sbatch --parsable --export=ALL --output="$LOGS/%x-%j.log" "${options[@]}" \
    ${AFTER:+--dependency=afterok:$AFTER --kill-on-invalid-dep=yes} ${SBATCH_OPTIONS:-} \
    "$ROOT/script/slurm/$stage.sbatch" "$@")
  job=${job%%;*}
  printf '%-8s job %s%s\n' "$stage" "$job" "${AFTER:+, after $AFTER}"
  AFTER=$job
}

# plan FILE: made for all ranks unless it is there. One that leaves datasets out is not kept.
plan() {
  [ -e "$1" ] || PLAN=$1 bash "$ROOT/script/run_plan.sh" ${OUTSIDE:+"$OUTSIDE"} "${PROMPTS[@]}" ||
    { rm -f "$1" && exit 1; }
}

mkdir -p "$LOGS"
if [ "$ROUTE" = no ]; then
  plan "$PLAN"
else
  plan "$RUN/route_plan.jsonl"
  PLAN=$RUN/route_plan.jsonl OUTPUT=$RUN/Domain submit route "${SIZE[@]}" -- "$@"
  PLAN=$PLAN DOMAINS=$RUN/Domain ROUTED=$RUN/routed submit apply -- "${PROMPTS[@]}"
fi
export PLAN OUTPUT=$RUN/Caption
submit caption "${SIZE[@]}" -- "$@"
submit score "${SIZE[@]}" -- "$@"
submit filter -- ${OUTSIDE:+"$OUTSIDE"} "${KEEP[@]}"
echo "logs are in $LOGS; 'squeue --me' shows what waits and runs"
