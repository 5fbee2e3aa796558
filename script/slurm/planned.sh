# Sourced: the plans of a chain.

# plan_once PLAN METAFILE WHOLE RESULTS FLAGS...: the plan of METAFILE for all ranks, made unless it is there. WHOLE is the
# Metafile that it all began with (METAFILE may have been made from it): a plan of another than that is now is refused,
# unless REPLAN is yes: then what RESULTS do not hold is planned again. A plan that leaves datasets out is not kept.
plan_once() {
  local plan=$1 metafile=$2 whole=$3 results=$4
  shift 4
  if [ -e "$plan" ] && [ "${REPLAN:-no}" != yes ]; then
    plan_is_of "$plan" "$whole"
    return
  fi
  [ -d "$results" ] || results=''
  METAFILE=$metafile PLAN=$plan.new RESULTS=$results bash "$ROOT/script/run_plan.sh" "$@" ||
    { rm -f "$plan.new" && return 1; }
  mv "$plan.new" "$plan"
  fingerprint "$whole" >"$(record_of "$plan")"
}

# plan_is_of PLAN WHOLE: refuses a plan that is known to be of what was another Metafile.
plan_is_of() {
  local record
  record=$(record_of "$1")
  [ -e "$record" ] && [ "$(cat "$record")" != "$(fingerprint "$2")" ] || return 0
  echo "error: $2 is another Metafile than $1 was made from: with REPLAN=yes what remains is planned again;" \
    "another RUN begins anew" >&2
  return 1
}

record_of() { echo "$(dirname "$1")/.$(basename "$1").metafile"; }

fingerprint() { sha256sum <"$1"; }
