# Sourced by the SLURM scripts: calls to SLURM's commands that outlast a controller that restarts, is busy or is mute.

SCHEDULER_SECONDS=${SCHEDULER_SECONDS:-600} # so long is a call tried again
CALL_SECONDS=120
NO_ANSWER=75
OR_ELSE='' # what to do should this process be ended meanwhile
# What SLURM's commands say when another try may do better; whatever else they say is a refusal.
PASSING='contact slurm controller|timed out|temporar|connection (refused|reset|closed)|zero bytes|standby|endpoint'
PASSING+='|unexpected message|communication|not responding|unable to (establish|connect|resolve)|dns srv|config source'
PASSING+='|unknown host|authentication|munge|unreachable|no route|socket|broken pipe|try again|interrupted|in progress'

# Settings of the user's terminal, such as SQUEUE_STATES=PENDING, would change what is asked.
unset "${!SQUEUE_@}"

say() { echo "$*" >&2; }

# attempt PATTERN COMMAND...: sets ANSWER to the last line that it prints that matches PATTERN (all lines, if PATTERN is
# empty) and COMPLAINT to what it says on stderr. Returns 0, NO_ANSWER where another try may do better, or 1.
attempt() {
  local pattern=$1 said status=0
  shift
  said=$({ timeout "$CALL_SECONDS" "$@" </dev/null | sed 's/^/answer: /'; exit "${PIPESTATUS[0]}"; } 2>&1) || status=$?
  ANSWER=$(sed -n 's/^answer: //p' <<<"$said")
  COMPLAINT=$(sed '/^answer: /d; /^$/d' <<<"$said")
  [ -z "$pattern" ] || ANSWER=$(grep -E "$pattern" <<<"$ANSWER" | tail -n 1)
  if [ $status = 0 ] && { [ -z "$pattern" ] || [ -n "$ANSWER" ]; }; then return 0; fi
  if [ $status = 124 ]; then COMPLAINT="no answer within $CALL_SECONDS s"; fi
  COMPLAINT=${COMPLAINT:-it ended with status $status and said nothing}
  if [ $status = 0 ] || [ $status = 124 ] || [[ $COMPLAINT == *'said nothing' ]]; then return $NO_ANSWER; fi
  if grep -qiE "$PASSING" <<<"$COMPLAINT"; then return $NO_ANSWER; fi
  return 1
}

# wait_again COMMAND: before another try; fails when it has been tried for too long. Needs `begun` and `pause` of its caller.
wait_again() {
  [ $((SECONDS - begun)) -lt "$SCHEDULER_SECONDS" ] || return
  [ $pause -gt 1 ] || say "$1 gives no answer: ${COMPLAINT%%$'\n'*}: tried again for up to $SCHEDULER_SECONDS s$OR_ELSE"
  sleep $pause
  pause=$((pause < 32 ? 2 * pause : 60))
}

# scheduler PATTERN COMMAND...: as `attempt`, but tried again. What went wrong at last is said.
scheduler() {
  local begun=$SECONDS pause=1 status
  while true; do
    attempt "$@" && return
    status=$?
    if [ $status != $NO_ANSWER ] || ! wait_again "$2"; then break; fi
  done
  say "${*:2} failed: $COMPLAINT"
  return $status
}

# submit_job COMMENT OPTIONS...: sets ANSWER to the number of the job that sbatch has made. An sbatch that was not answered
# may have made one all the same: it is looked for, by its comment, before another is made.
submit_job() {
  local comment=$1 begun=$SECONDS pause=1 status
  shift
  while true; do
    status=0
    attempt '^[0-9]+(;.*)?$' env "${AS_FROM_OUTSIDE[@]}" sbatch --parsable --comment="$comment" "$@" || status=$?
    [ -z "$COMPLAINT" ] || [ $status = $NO_ANSWER ] || say "$COMPLAINT"
    [ $status = $NO_ANSWER ] || break
    wait_again sbatch || { say "sbatch failed: $COMPLAINT" && break; }
    jobs_of "$comment" || { status=$? && break; }
    [ -z "$ANSWER" ] || { status=0 && break; }
  done
  ANSWER=${ANSWER%%;*}
  return $status
}

# SLURM hands the variables of the job or step that a user is in on to those that he submits from there.
AS_FROM_OUTSIDE=(-u SBATCH_ARRAY_INX -u SBATCH_WAIT)
for name in "${!SLURM_@}"; do
  case $name in SLURM_CONF | SLURM_CLUSTERS | SLURM_JWT) ;; *) AS_FROM_OUTSIDE+=(-u "$name") ;; esac
done

# jobs_of COMMENT: sets ANSWER to the numbers of one's jobs that wait or run and whose comment ends in COMMENT, but this one.
jobs_of() {
  local job comment found=()
  scheduler '' squeue --user="$(id -u)" --noheader --format='%F %k' || return
  while read -r job comment; do
    if [[ $comment == *"$1" && $job != "${SLURM_JOB_ID:-}" ]]; then found+=("$job"); fi
  done <<<"$ANSWER"
  ANSWER=$(printf '%s\n' "${found[@]}" | sort -un | paste -sd ' ')
}
