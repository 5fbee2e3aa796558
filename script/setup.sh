#!/usr/bin/env bash
# Make .venv with pinned requirements: vLLM for CUDA where there is a GPU, else its CPU build. Safe to repeat.
#   DEVICE=cpu|gpu overrides what is found; --dev adds what the tests need.
set -euo pipefail
source "$(command -p dirname "${BASH_SOURCE[0]}")/safe_paths.sh"
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
DEV=no
for argument in "$@"; do
  case $argument in
  --dev) DEV=yes ;;
  *) echo "usage: bash script/setup.sh [--dev]" >&2 && exit 2 ;;
  esac
done
if [ -z "${DEVICE:-}" ]; then
  DEVICE=cpu
  if nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then DEVICE=gpu; fi
fi

find_python() {
  local name
  for name in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
    [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$name" && return
  done
  echo "error: no Python 3.11 or newer is found; name one with PYTHON=…" >&2
  return 1
}

# install STAMP FILE... -- COMMAND...: run COMMAND unless STAMP says that it was run for these files as they are.
install() {
  local stamp=$VENV/.installed-$1 files=() digest
  shift
  while [ "$1" != -- ]; do files+=("$1") && shift; done
  shift
  digest=$(cat "${files[@]}" | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$digest" ] && return
  "$@"
  echo "$digest" >"$stamp"
}

install_cpu() {
  echo "installing vLLM's CPU build (a few minutes) ..."
  # Where your package index has CUDA builds of torch only, this takes several GB more than it needs; PyTorch's own
  # index of CPU builds, given as PIP_EXTRA_INDEX_URL, saves them.
  "$VENV/bin/pip" install -qq "$(grep '^torch==' "$ROOT/requirements-cpu.txt")"
  "$VENV/bin/pip" install -qq --no-deps -r "$ROOT/requirements-cpu.txt"
}

install_gpu() {
  echo "installing vLLM for CUDA (several GB) ..."
  "$VENV/bin/pip" install -qq -r "$ROOT/requirements.txt"
}

# The package, used where it lies: changes of its code need no new installation.
install_package() {
  rm -f "$VENV"/lib/python*/site-packages/metacaptioner_cpu_torchvision.{py,pth} # of an earlier version
  "$VENV/bin/pip" install -qq --no-deps --no-build-isolation -e "$ROOT"
}

# A set-up that was interrupted early leaves an environment without pip: begin again.
"$VENV/bin/python" -m pip --version >/dev/null 2>&1 || "$(find_python)" -m venv --clear "$VENV"
export PIP_DISABLE_PIP_VERSION_CHECK=1
if [ "$DEVICE" = gpu ]; then
  rm -f "$VENV/.installed-cpu"
  install gpu "$ROOT/requirements.txt" -- install_gpu
else
  rm -f "$VENV/.installed-gpu"
  install cpu "$ROOT/requirements-cpu.txt" -- install_cpu
fi
if [ $DEV = yes ]; then
  install dev "$ROOT/requirements-dev.txt" -- "$VENV/bin/pip" install -qq --no-deps -r "$ROOT/requirements-dev.txt"
fi
install package "$ROOT/pyproject.toml" "$ROOT"/requirements*.txt "$ROOT/MetaCaptioner/__init__.py" \
  "$ROOT/script/build_backend.py" "$ROOT/script/cpu_torch.py" -- install_package
echo "ready: $VENV ($DEVICE)"
