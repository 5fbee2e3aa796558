#!/usr/bin/env bash
# Plan a dataset and submit route -> apply -> caption -> score -> filter, each to begin once the one before is complete.
#   MODEL=… METAFILE=data/Metafile.json NNODES=4 bash script/slurm/submit.sh
# Flags go to the stages. What is done is not done again, so the same command goes on where a chain has ended.
#
#   RUN            folder of everything that is made (Output): Domain, routed, Caption, the plans, logs
#   NNODES, TP     nodes (1); GPUs of one rank (1)
#   GPUS_PER_NODE  8; 0 for machines without
#   NPROC, CPUS    ranks on a node (GPUS_PER_NODE / TP); CPUs of one rank (8)
#   ARRAY          so many jobs of NNODES nodes each instead of one; each starts, is preempted and requeued by itself.
#                  8%2: eight, two of them at a time
#   ROUTE          no: caption right away; what has no task is routed in the same pass
#   PLAN           the plan to caption; made if it is not there
#   REPLAN         yes: the Metafile has changed, so plan again what remains of it
#   SBATCH_OPTIONS further options of sbatch, such as "--partition=gpu --time=24:00:00"; sbatch's own variables
#                  (SBATCH_ACCOUNT, SBATCH_PARTITION, SBATCH_TIMELIMIT, …) do as well
set -euo pipefail
SETTINGS=(MODEL METAFILE RUN NNODES TP GPUS_PER_NODE NPROC CPUS ARRAY ROUTE PLAN SBATCH_OPTIONS MIN_CONFIDENCE MIN_OVERALL)
SETTINGS+=(MIN_DIM_SCORE RESAMPLE PYTHON PYTHONPATH)
AGAIN="cd $(printf %q "$PWD") &&"
for name in "${SETTINGS[@]}" "${!SBATCH_@}"; do
  [[ -z ${!name:-} || $AGAIN == *" $name="* ]] || AGAIN+=" $name=$(printf %q "${!name}")"
done
AGAIN+=" bash $(printf '%q ' "${BASH_SOURCE[0]}" "$@")"

ASKED_NPROC=${NPROC:-} # of the nodes, whatever GPUs there are here
source "$(command -p dirname "${BASH_SOURCE[0]}")/../common.sh"
CPUS=${CPUS:-8} GPUS_PER_NODE=${GPUS_PER_NODE:-8}
whole CPUS 1
whole GPUS_PER_NODE 0
[ "$GPUS_PER_NODE" = 0 ] || [ "$TP" -le "$GPUS_PER_NODE" ] ||
  refuse "a rank of TP=$TP GPUs does not fit a node of GPUS_PER_NODE=$GPUS_PER_NODE"
NPROC=${ASKED_NPROC:-$((GPUS_PER_NODE > 0 ? GPUS_PER_NODE / TP : 1))}
whole NPROC 1
[ "$GPUS_PER_NODE" = 0 ] || [ $((NPROC * TP)) -le "$GPUS_PER_NODE" ] ||
  refuse "NPROC=$NPROC ranks of TP=$TP GPUs do not fit a node of GPUS_PER_NODE=$GPUS_PER_NODE"
[[ ${ARRAY:-1} =~ ^([1-9][0-9]{0,8})(%[1-9][0-9]*)?$ ]] ||
  refuse "ARRAY must be a number of jobs, such as 8, or 8%2 for two of them at a time, not '$ARRAY'"
JOBS=${BASH_REMATCH[1]} AT_A_TIME=${BASH_REMATCH[2]}

source "$ROOT/script/slurm/scheduler.sh"
source "$ROOT/script/slurm/planned.sh"
# Absolute: what is made and read does not depend on where a job begins (--chdir).
export METACAPTIONER=$ROOT TP NPROC NNODES REPLAN METACAPTIONER_AGAIN=$AGAIN
REPLAN=${REPLAN:-no}
METAFILE=$(realpath -ms "${METAFILE:-$ROOT/data/Metafile.json}")
RUN=$(realpath -ms "${RUN:-$ROOT/Output}")
PLAN=$(realpath -ms "${PLAN:-$RUN/split_plan.jsonl}")
export METAFILE PLAN NUM_RANKS=$((NNODES * NPROC * JOBS))
unset OUTPUT INPUT RESULTS METACAPTIONER_RESTARTS METACAPTIONER_SBATCH
ROUTE=${ROUTE:-yes}
for name in REPLAN ROUTE; do
  case ${!name} in yes | no) ;; *) refuse "$name must be yes or no, not '${!name}'" ;; esac
done
LOGS=$RUN/logs
LOG_NAMES=${LOGS//%/%%} # SLURM replaces what follows a %
SIZE=(--nodes="$NNODES" --ntasks-per-node="$NPROC" --cpus-per-task="$CPUS" --gpus-per-node="$GPUS_PER_NODE")
if [ -n "${ARRAY:-}" ]; then
  SIZE+=(--array="0-$((JOBS - 1))$AT_A_TIME" --output="$LOG_NAMES/%x-%A_%a.log")
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

# read_options WORDS...: SBATCH_OPTIONS, less what the chain must have a say in. It is known by its jobs' comments, which may
# begin with one of the user's own; what he has the chain wait for, its first job waits for.
OPTIONS=() OWN_COMMENT=${SBATCH_COMMENT:-} AFTER=''
read_options() {
  while [ $# -gt 0 ]; do
    case $1 in
    --comment | --dependency | -d) set -- "${1/#-d/--dependency}=${2:-}" "${@:3}" && continue ;;
    --comment=*) OWN_COMMENT=${1#*=} ;;
    --dependency=*) AFTER=${1#*=} ;;
    --export=ALL*) OPTIONS+=("$1") ;;
    -a | --array | --array=*) refuse "SBATCH_OPTIONS: $1: use ARRAY, which the plan must know" ;;
    --export | --export=*) refuse "SBATCH_OPTIONS: $1: the jobs need the whole environment, as in --export=ALL,NAME=VALUE" ;;
    *) OPTIONS+=("$1") ;;
    esac
    shift
  done
}
set -f # a list of words, no patterns
# shellcheck disable=SC2086
read_options ${SBATCH_OPTIONS:-}
set +f

# submit STAGE OPTIONS... -- FLAGS...: submits STAGE.sbatch after the stage before it. The job is told how, so that it can do
# so again where it is not requeued. A chain is submitted whole or not at all.
SUBMITTED=()
submit() {
  local stage=$1 options=(--export=ALL --output="$LOG_NAMES/%x-%j.log")
  shift
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  set -- "${OWN_COMMENT:+$OWN_COMMENT }metacaptioner $stage of $RUN" "${options[@]}" "${OPTIONS[@]}" \
    "$ROOT/script/slurm/$stage.sbatch" "$@"
  METACAPTIONER_SBATCH=$(printf '%q ' "$@")
  export METACAPTIONER_SBATCH
  submit_job "$1" ${AFTER:+--dependency="$AFTER" --kill-on-invalid-dep=yes} "${@:2}" || take_back
  SUBMITTED+=("$ANSWER")
  printf '%-8s job %s%s\n' "$stage" "$ANSWER" "${AFTER:+, after ${AFTER#afterok:}}"
  AFTER=afterok:$ANSWER
}

take_back() {
  local left=''
  trap '' INT TERM HUP
  jobs_of " of $RUN" || ANSWER='' # also one that sbatch has made without an answer
  set -- "${SUBMITTED[@]}" $ANSWER
  [ $# = 0 ] || scheduler '' scancel "$@" || left=" after: scancel $*"
  refuse "not every job could be submitted, so none is kept; submit again$left: $AGAIN" 1
}

# A chain that is still there would do the same work: its files are locked, and this one would fail.
jobs_of " of $RUN" || refuse "SLURM cannot be asked what is there; submit again: $AGAIN" 1
[ -z "$ANSWER" ] ||
  refuse "a chain for $RUN waits or runs already: wait for it, or end it first: scancel $ANSWER" 1
if [ "$JOBS" -gt 1 ] && scheduler '^MaxArraySize' scontrol show config; then
  most=$((10#${ANSWER//[^0-9]/}))
  [ "$JOBS" -le "$most" ] || refuse "ARRAY=$ARRAY: this cluster takes arrays of up to $most jobs (MaxArraySize)"
fi

mkdir -p "$LOGS"
trap take_back INT TERM HUP
if [ "$ROUTE" = no ]; then
  plan_once "$PLAN" "$METAFILE" "$METAFILE" "$RUN/Caption" "${PROMPTS[@]}"
else
  [ "$REPLAN" = yes ] || plan_is_of "$PLAN" "$METAFILE"
  plan_once "$RUN/route_plan.jsonl" "$METAFILE" "$METAFILE" "$RUN/Domain" "${PROMPTS[@]}"
  PLAN=$RUN/route_plan.jsonl OUTPUT=$RUN/Domain submit route "${SIZE[@]}" -- "$@"
  DOMAINS=$RUN/Domain ROUTED=$RUN/routed OUTPUT=$RUN/Caption submit apply -- "${PROMPTS[@]}"
fi
export OUTPUT=$RUN/Caption
submit caption "${SIZE[@]}" -- "$@"
submit score "${SIZE[@]}" -- "$@"
submit filter -- ${OUTSIDE:+"$OUTSIDE"} "${KEEP[@]}"
echo "logs are in $LOGS; 'squeue --me' shows what waits and runs"
