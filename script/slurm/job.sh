# Sourced by the sbatch files: runs a stage on all tasks of a job, each a rank, and has the job requeued where that helps.

source "$(command -p dirname "${BASH_SOURCE[0]}")/../safe_paths.sh"
ROOT=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$ROOT/script/slurm/scheduler.sh"
export BEAT_SECONDS=${BEAT_SECONDS:-30}
SILENT_BEATS=10
SRUN_ERROR=70 # what srun exits with when SLURM, not a rank, has failed
SHORT_RUN_SECONDS=600
SHORT_RUNS=3
RESTARTS=$((${SLURM_RESTART_COUNT:-0} + ${METACAPTIONER_RESTARTS:-0}))
AGAIN="submit again to go on: ${METACAPTIONER_AGAIN:-cd ${SLURM_SUBMIT_DIR:-.} && sbatch, with the options and flags as before}"
OR_ELSE="; if nothing follows, $AGAIN"

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
  mkdir -p "$folder" || exit 1
  trap 'stopped=yes; [ ! -d "$folder" ] || : >"$folder/stop"; [ -z "$srun" ] || kill -USR1 "$srun" 2>/dev/null || true' \
    USR1 TERM INT HUP
  # No MPI of the site's choice, no part of the environment left out (sbatch --export=NONE), all parts of a heterogeneous job.
  SLURM_EXIT_ERROR=$SRUN_ERROR srun --kill-on-bad-exit=0 --wait=0 --mpi=none --export=ALL \
    ${SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"} \
    ${SLURM_HET_SIZE:+--het-group="0-$((SLURM_HET_SIZE - 1))"} \
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

# end_job STATUS LOST STOPPED: start the job again where that helps, and exit. STATUS is the highest of all ranks, as srun
# has it; LOST counts the ranks that never came to their end, which srun may take for done.
end_job() {
  local status=$1 lost=$2 stopped=$3 death=''
  if [ "$status" = 3 ] || { [ "$stopped" = yes ] && [ "$status" -gt 2 ]; }; then
    start_again 'stopped by a signal'
    exit "$status"
  elif [ "$lost" -gt 0 ]; then
    death="$lost of its ranks died"
  elif [ "$status" = $SRUN_ERROR ]; then
    death='srun failed'
  elif [ "$status" -gt 128 ]; then
    death="a rank died of signal $((status - 128))"
  fi
  [ -n "$death" ] || exit "$status"
  if [ $SECONDS -lt $SHORT_RUN_SECONDS ] && [ $RESTARTS -ge $SHORT_RUNS ]; then
    say "$death within $SECONDS s, and it was started $RESTARTS times before: given up; $AGAIN"
  else
    start_again "$death"
  fi
  exit $((status > 0 ? status : 1))
}

# start_again WHY: have SLURM requeue this job, unless it was cancelled or somebody has requeued it already. Where SLURM
# does not requeue it, it is submitted anew; where that cannot be done either, or nobody answers, what to do is said.
start_again() {
  local job=$SLURM_JOB_ID
  # The id of one of an array's jobs is that of the array too.
  [ -z "${SLURM_ARRAY_JOB_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
  scheduler '^[A-Z_]+$' squeue --noheader --jobs="$job" --format=%T || { say "$1, and not requeued; $AGAIN" && return; }
  if [ "$ANSWER" != RUNNING ]; then
    say "$1; SLURM has it as $ANSWER (cancelled, out of time, or requeued already); unless it starts by itself, $AGAIN"
    return
  fi
  say "$1: requeued" # by the time that it is, nothing more may be said
  if scheduler '' scontrol requeue "$job"; then
    return
  elif submit_anew; then
    say "it could not be requeued, and goes on as job $ANSWER"
  else
    say "it could not be requeued; $AGAIN"
  fi
}

# submit_anew: the same job once more, to begin when this one has ended; what waits for this one then waits for that one.
# Sets ANSWER to its number. An array's jobs cannot each do so: their ranks' numbers need the whole array.
submit_anew() {
  local job waiting dependency
  if [ -z "${METACAPTIONER_SBATCH:-}" ] || [ -n "${SLURM_ARRAY_JOB_ID:-}" ]; then return 1; fi
  eval "set -- $METACAPTIONER_SBATCH" # the words of submit.sh, quoted by it
  export METACAPTIONER_RESTARTS=$((RESTARTS + 1))
  submit_job "$1" --dependency="afterany:$SLURM_JOB_ID" "${@:2}" || return
  job=$ANSWER
  scheduler '' squeue --user="$(id -u)" --noheader --format='%F %E' || say "job $job is on its own; $AGAIN"
  while read -r waiting dependency; do
    [[ $dependency =~ afterok:$SLURM_JOB_ID([^0-9]|$) ]] || continue
    scheduler '' scontrol update "JobId=$waiting" "Dependency=afterok:$job" ||
      say "job $waiting does not wait for job $job; once that is complete, $AGAIN"
  done <<<"$ANSWER"
  ANSWER=$job
}

say() { echo "job $SLURM_JOB_ID: $*" >&2; }
