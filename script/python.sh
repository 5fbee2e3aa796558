# Sourced first by the scripts that start Python: where the repository and its Python are.

source "$(command -p dirname "${BASH_SOURCE[0]}")/safe_paths.sh"
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  [ -x "$ROOT/.venv/bin/python" ] && PYTHON=$ROOT/.venv/bin/python
fi
case $PYTHON in
/*) ;;
*/*) PYTHON=$PWD/$PYTHON ;;
*) PYTHON=$(type -P "$PYTHON" || { echo "error: PYTHON: there is no program '$PYTHON'" >&2 && exit 1; }) || exit 1 ;;
esac
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
