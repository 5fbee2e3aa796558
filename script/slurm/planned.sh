# Sourced after common.sh: the plans of a chain.

# plan_once PLAN METAFILE WHOLE RESULTS FLAGS...: the plan of METAFILE for all ranks, made unless it is there, of what RESULTS
# do not hold. WHOLE is the Metafile that it all began with, from which METAFILE may have been made: where that has changed
# since, a plan that is there is refused, or with REPLAN=yes made again. One that leaves datasets out is not kept.
plan_once() {
  local plan=$1 metafile=$2 whole=$3 results=$4
  shift 4
  if [ -e "$plan" ] && [ "${REPLAN:-no}" != yes ]; then
    plan_is_of "$plan" "$whole"
    return
  fi
  [ -d "$results" ] || results=''
  METAFILE=$metafile PLAN=$plan RESULTS=$results bash "$ROOT/script/run_plan.sh" "$@" || { rm -f "$plan" && return 1; }
  fingerprint "$whole" >"$(record_of "$plan")"
}

# plan_is_of PLAN WHOLE: refuses a plan that is known to be of what was another Metafile.
plan_is_of() {
  local record now
  record=$(record_of "$1")
  [ -e "$1" ] && [ -e "$record" ] || return 0
  now=$(fingerprint "$2") || return 1
  [ "$(cat "$record")" != "$now" ] || return 0
  echo "error: $2, or an annotation file of it, is another than $1 was made from: with REPLAN=yes what remains is planned" \
    "again; another RUN begins anew" >&2
  return 1
}

record_of() { echo "$(dirname "$1")/.$(basename "$1").metafile"; }

fingerprint() {
  "$PYTHON" -c 'if True:
    import sys
    from pathlib import Path
    from MetaCaptioner.metafile import metafile_digest
    from MetaCaptioner.terminal import run_main
    run_main(lambda: print(metafile_digest(Path(sys.argv[1]))) or 0)' "$1"
}
