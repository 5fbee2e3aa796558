# Sourced by the other scripts: how a stage is started on every rank, and by which Python.

source "$(command -p dirname "${BASH_SOURCE[0]}")/python.sh"

refuse() { echo "error: $1" >&2 && exit "${2:-2}"; }
# whole NAME LEAST: refuses a variable that is no whole number from LEAST.
whole() { [[ ${!1:-} =~ ^[0-9]{1,9}$ ]] && [ "${!1}" -ge "$2" ] || refuse "$1 must be a whole number from $2, not '${!1:-}'"; }

# ranks_here: sets GPUS, TP, NNODES and NPROC, the ranks of this machine.
ranks_here() {
  GPUS=$("$PYTHON" -m MetaCaptioner.runtime.gpus) || exit
  TP=${TP:-1}
  whole TP 1
  NNODES=${NNODES:-1}
  whole NNODES 1
  NPROC=${NPROC:-$((GPUS >= TP ? GPUS / TP : 1))}
  whole NPROC 1
}

# run_tool NAME FLAGS...: dataprocess/NAME.py.
run_tool() { "$PYTHON" "$ROOT/dataprocess/$1.py" "${@:2}"; }

# run_stage COMMAND FLAGS...: a stage, as `metacaptioner COMMAND` runs it: on NPROC ranks of this node (of NNODES, this being
# NODE_RANK), or where a launcher has made several ranks already, as one of them.
run_stage() { _METACAPTIONER_PROGRAM=$0 exec "$PYTHON" -m MetaCaptioner "$@"; }
