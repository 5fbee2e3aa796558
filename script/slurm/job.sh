# Sourced by the sbatch files: runs a stage on all tasks of a job, each a rank, and has the job requeued where that helps.

source "$(command -p dirname "${BASH_SOURCE[0]}")/../safe_paths.sh"
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export BEAT_SECONDS=${BEAT_SECONDS:-30}
SILENT_BEATS=10
SRUN_ERROR=70 # what srun exits with when SLURM, not a rank, has failed
SHORT_RUN_SECONDS=600
SHORT_RUNS=3

# wait_for PID: the exit status of a child; signals that are trapped meanwhile do not end the wait.
wait_for() {
  while kill -0 "$1" 2>/dev/null; do wait "$1" || true; done
  wait "$1"
}

# run_ranks FOLDER SCRIPT FLAGS...: script/SCRIPT on all tasks; FOLDER is that of the results, which all nodes see.
# Exits with 0 once every rank has done all its samples, with 1 or 2 as the ranks do. Where one was stopped by a signal,
# or died, the job is requeued and goes on from the result files.
run_ranks() {
  local folder=$1 script=$2 stopped=no srun='' watch status=0 lost
  shift 2
  folder=$folder/.job-$SLURM_JOB_ID
  rm -rf "$folder".*
  folder=$folder.${SLURM_RESTART_COUNT:-0}
  mkdir -p "$folder"
  trap 'stopped=yes; [ ! -d "$folder" ] || : >"$folder/stop"; [ -z "$srun" ] || kill -USR1 "$srun" 2>/dev/null || true' USR1 TERM
  SLURM_EXIT_ERROR=$SRUN_ERROR srun --kill-on-bad-exit=0 --wait=0 \
    ${SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"} \
    bash "$ROOT/script/slurm/rank.sh" "$folder" bash "$ROOT/script/$script" "$@" &
  srun=$!
  end_when_silent "$srun" "$folder" &
  watch=$!
  wait_for "$srun" || status=$?
  kill "$watch" 2>/dev/null || true
  lost=$(find "$folder" -name 'rank*' | wc -l)
  rm -rf "$folder"
  end_job "$status" "$lost" "$stopped"
}

# end_when_silent SRUN FOLDER: srun does not notice that a slurmstepd has died, and waits for its ranks for ever. So each
# rank writes to a file of FOLDER now and then, and takes it away at its end. SRUN is ended when all that are left are dead.
end_when_silent() {
  local before='' now silent=0
  while sleep "$BEAT_SECONDS"; do
    # The names too: a rank that is killed between opening its file and writing to it leaves it empty.
    now=$(find "$2" -name 'rank*' && grep '' "$2"/rank* /dev/null 2>/dev/null || true)
    if [ -n "$now" ] && [ "$now" = "$before" ]; then silent=$((silent + 1)); else silent=0; fi
    before=$now
    [ $silent -lt $SILENT_BEATS ] || break
  done
  say 'the ranks that are left give no sign of life: their slurmstepd has died, the step is ended'
  kill -KILL "$1"
}

# end_job STATUS LOST STOPPED: requeue the job where that helps, and exit. STATUS is the highest of all ranks, as srun has
# it; LOST counts the ranks that never came to their end, which srun may take for done.
end_job() {
  local status=$1 lost=$2 stopped=$3 death=''
  if [ "$status" = 3 ] || { [ "$stopped" = yes ] && [ "$status" -gt 2 ]; }; then
    requeue 'stopped by a signal'
    exit "$status"
  elif [ "$lost" -gt 0 ]; then
    death="$lost of its ranks died"
  elif [ "$status" = $SRUN_ERROR ]; then
    death='srun failed'
  elif [ "$status" -gt 128 ]; then
    death="a rank died of signal $((status - 128))"
  fi
  [ -n "$death" ] || exit "$status"
  if [ $SECONDS -lt $SHORT_RUN_SECONDS ] && [ "${SLURM_RESTART_COUNT:-0}" -ge $SHORT_RUNS ]; then
    say "$death within $SECONDS s, and it was started $SLURM_RESTART_COUNT times before: given up; submit again to go on"
  else
    requeue "$death"
  fi
  exit $((status > 0 ? status : 1))
}

# requeue WHY: this job, unless it was cancelled or somebody has requeued it already.
requeue() {
  local job=$SLURM_JOB_ID
  # The id of one of an array's jobs is that of the array too.
  [ -z "${SLURM_ARRAY_JOB_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
  [ "$(squeue --noheader --jobs="$job" --format=%T)" = RUNNING ] || return 0
  say "$1: requeued"
  scontrol requeue "$job" || say "could not be requeued; submit again to go on"
}

say() { echo "job $SLURM_JOB_ID: $*" >&2; }
