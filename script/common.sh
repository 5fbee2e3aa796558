# Sourced by the other scripts: where the repository and its Python are, and how a stage is started on every rank.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  [ -x "$ROOT/.venv/bin/python" ] && PYTHON=$ROOT/.venv/bin/python
fi
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"

# Prints the number of GPUs that this shell may use.
count_gpus() {
  if [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
    tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -cv -e '^-1$' -e '^$' || true
  else
    { nvidia-smi -L 2>/dev/null || true; } | grep -c '^GPU ' || true
  fi
}

GPUS=$(count_gpus)
TP=${TP:-1}
NNODES=${NNODES:-1}
NPROC=${NPROC:-$((GPUS >= TP ? GPUS / TP : 1))}
MODEL=${MODEL:-Qwen/Qwen2.5-VL-7B-Instruct}

# run_stage MODULE FLAGS...: the stage on NPROC ranks of this node (of NNODES, this being NODE_RANK).
# In a task that srun started, srun has made the ranks already.
run_stage() {
  local module=$1
  shift
  set -- "$module" --model "$MODEL" --tensor-parallel-size "$TP" "$@"
  if [ -n "${SLURM_STEP_ID:-}" ] && [ -n "${SLURM_PROCID:-}" ] || [ "$NPROC" = 1 ] && [ "$NNODES" = 1 ]; then
    exec "$PYTHON" -m "$@"
  fi
  run_torchrun "$@"
}

# torchrun ends all ranks when one exits with an error, so the ranks leave their statuses in a folder instead
# (ranks.report_status). The worst one becomes ours: 1 or 2 before 3 before 0; a rank that left none has died.
run_torchrun() {
  local launcher=(--nproc-per-node "$NPROC" --nnodes "$NNODES") statuses worst=0 rank status
  if [ "$NNODES" = 1 ]; then
    launcher+=(--standalone)
  else
    launcher+=(--node-rank "${NODE_RANK:?NODE_RANK: the number of this node, from 0}"
      --master-addr "${MASTER_ADDR:?MASTER_ADDR: the name of node 0}" --master-port "${MASTER_PORT:-29500}")
  fi
  statuses=$(mktemp -d)
  local cores
  cores=$(nproc)
  METACAPTIONER_STATUS_DIR=$statuses OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > NPROC ? cores / NPROC : 1))} \
    "$PYTHON" -m torch.distributed.run "${launcher[@]}" -m "$@" &
  local torchrun=$!
  trap 'kill -TERM "$torchrun" 2>/dev/null || true' TERM INT USR1
  while kill -0 "$torchrun" 2>/dev/null; do wait "$torchrun" || true; done
  trap - TERM INT USR1
  for ((rank = NPROC * ${NODE_RANK:-0}; rank < NPROC * (${NODE_RANK:-0} + 1); rank++)); do
    status=$(cat "$statuses/rank$rank" 2>/dev/null) || status=1
    case $worst,$status in *,0 | 1,*) ;; *,1 | 0,* | 3,*) worst=$status ;; esac
  done
  rm -rf "$statuses"
  return "$worst"
}
