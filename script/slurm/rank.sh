#!/usr/bin/env bash
# One rank of a job, started by srun: COMMAND, with a file in FOLDER that is written now and then as long as it runs.
#   rank.sh FOLDER COMMAND...
set -euo pipefail
source "$(command -p dirname "${BASH_SOURCE[0]}")/job.sh"
folder=$1
life=$folder/rank$SLURM_PROCID
shift
slurmstepd=$PPID
command=''
stopped=no
status=0

# Hands a signal on once.
stop() {
  if [ $stopped = no ] && [ -n "$command" ]; then kill -USR1 "$command" 2>/dev/null || true; fi
  stopped=yes
}

# A signal that came before srun knew of this rank has left the file `stop`. And without its slurmstepd a rank has nobody
# to report to, while SLURM may start it again elsewhere.
beat() {
  while sleep "$BEAT_SECONDS" && kill -0 $$ 2>/dev/null; do
    echo $SECONDS >"$life" || true # the folder may be out of reach for a moment
    if [ -e "$folder/stop" ] || [ "$(ps -o ppid= -p $$)" -ne $slurmstepd ]; then kill -USR1 $$; fi
  done
}

trap stop USR1 TERM INT
[ ! -e "$folder/stop" ] || exit 3
echo 0 >"$life"
beat </dev/null >/dev/null 2>&1 &
beats=$!
"$@" &
command=$!
[ $stopped = no ] || kill -USR1 "$command" 2>/dev/null || true
wait_for "$command" || status=$?
kill "$beats" 2>/dev/null || true
wait_for "$beats" 2>/dev/null || true
rm -f "$life"
exit "$status"
