# Sourced by the other scripts: how a stage is started on every rank, and by which Python.

source "$(command -p dirname "${BASH_SOURCE[0]}")/python.sh"

refuse() { echo "error: $1" >&2 && exit "${2:-2}"; }
# whole NAME LEAST: refuses a variable that is no whole number from LEAST.
whole() { [[ ${!1:-} =~ ^[0-9]{1,9}$ ]] && [ "${!1}" -ge "$2" ] || refuse "$1 must be a whole number from $2, not '${!1:-}'"; }

GPUS=$("$PYTHON" -m MetaCaptioner.runtime.gpus) || exit
TP=${TP:-1}
whole TP 1
NNODES=${NNODES:-1}
whole NNODES 1
NPROC=${NPROC:-$((GPUS >= TP ? GPUS / TP : 1))}
whole NPROC 1
MODEL=${MODEL:-Qwen/Qwen2.5-VL-7B-Instruct}

# run_tool NAME FLAGS...: dataprocess/NAME.py, which finds its modules beside it only if that is on the path.
run_tool() {
  local name=$1
  shift
  PYTHONPATH="$ROOT/dataprocess:$PYTHONPATH" "$PYTHON" "$ROOT/dataprocess/$name.py" "$@"
}

# run_stage MODULE FLAGS...: the stage on NPROC ranks of this node (of NNODES, this being NODE_RANK), each under a
# supervisor that starts it again should it die. Where a launcher (srun, torchrun, mpirun) has made several ranks already,
# this is one of them; one task alone, such as an interactive shell of srun, makes those of its node.
run_stage() {
  local module=$1 launched launcher ranks
  shift
  set -- "$module" --model "$MODEL" --tensor-parallel-size "$TP" "$@"
  launched=$("$PYTHON" -m MetaCaptioner.runtime.rank) || exit
  read -r launcher ranks <<<"$launched"
  if [ "$launcher" = slurm ] && [ "$ranks" = 1 ]; then launcher=alone NNODES=1; fi
  [ "$launcher" = alone ] || exec "$PYTHON" -m MetaCaptioner.launch.supervisor "$@"
  if [ "$NNODES" -gt 1 ]; then
    whole NODE_RANK 0
    [ "$NODE_RANK" -lt "$NNODES" ] || refuse "NODE_RANK=$NODE_RANK: the nodes are numbered from 0 to $((NNODES - 1))"
  else
    NODE_RANK=0
  fi
  exec "$PYTHON" -m MetaCaptioner.launch.local --ranks "$NPROC" --nodes "$NNODES" --node "$NODE_RANK" "$@"
}
