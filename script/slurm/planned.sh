# Sourced after common.sh: the plans of a chain.

# plan_once PLAN METAFILE WHOLE RESULTS FLAGS...: the plan of METAFILE for all ranks, made unless it is there, of what RESULTS
# do not hold. WHOLE is the Metafile that it all began with, from which METAFILE may have been made: where that has changed
# since, a plan that is there is refused, or with REPLAN=yes made again. One that leaves datasets out is not kept.
plan_once() {
  local plan=$1 metafile=$2 whole=$3 results=$4 before
  shift 4
  if [ -e "$plan" ] && [ "${REPLAN:-no}" != yes ]; then
    plan_is_of "$plan" "$whole"
    return
  fi
  [ -d "$results" ] || results=''
  before=$(stat --format=%i "$plan" 2>/dev/null) || before=none
  METAFILE=$metafile PLAN=$plan RESULTS=$results bash "$ROOT/script/run_plan.sh" --made-from "$whole" \
    ${OUTSIDE:+"$OUTSIDE"} "$@" && return
  [ "$(stat --format=%i "$plan" 2>/dev/null)" = "$before" ] || rm -f "$plan" # a refused one was not written
  return 1
}

# plan_is_of PLAN WHOLE: refuses a plan that is there and is known to be of what was another Metafile.
plan_is_of() {
  [ -e "$1" ] || return 0
  METAFILE=$2 PLAN=$1 RESULTS='' bash "$ROOT/script/run_plan.sh" --if-missing || {
    echo 'with REPLAN=yes what remains is planned again; another RUN begins anew' >&2 && return 1
  }
}
