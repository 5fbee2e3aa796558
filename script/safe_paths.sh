# Sourced first by the other scripts: no program, Python module or shared library is taken from the current folder,
# which may be a dataset's, by a script or by any process that it starts.

# absolute_entries LIST: sets REPLY to a list such as PATH without its entries that are not absolute; empty ones mean
# the current folder as well.
absolute_entries() {
  local rest=$1: entry
  REPLY=''
  while [ -n "$rest" ]; do
    entry=${rest%%:*} rest=${rest#*:}
    case $entry in /*) REPLY+=${REPLY:+:}$entry ;; esac
  done
}

unset CDPATH
absolute_entries "$PATH"
export PATH=${REPLY:-/usr/local/bin:/usr/bin:/bin}
absolute_entries "${PYTHONPATH:-}"
export PYTHONPATH=$REPLY
absolute_entries "${LD_LIBRARY_PATH:-}"
export LD_LIBRARY_PATH=$REPLY
[ -n "$REPLY" ] || unset LD_LIBRARY_PATH
export PYTHONSAFEPATH=1
