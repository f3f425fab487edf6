# SPDX-License-Identifier: BSD-3-Clause
# Completion for bash: words of the grammar, and the names that there are, asked of the daemon.

_kedgectl_children() {
    kedgectl name list "$1" 2>/dev/null
}

# A path, part by part.
_kedgectl_path() {
    local above=${1%/*}
    _kedgectl_children "${above:-/}" | sed "s|^|${above%/}/|"
}

# What may follow a noun's name in add and set.
declare -gA _kedgectl_properties=(
    [port]="devargs mtu workers queues"
    [bridge]="port ageing"
    [iface]="on address mode mac"
    [fdb]="port"
    [neigh]="mac"
    [route]="via dev blackhole reject"
    [flow]="src= dst= proto= sport= dport= iface= priority action"
)

# The words before the current one are $1 (noun), $2 (verb), and the rest.
_kedgectl_after_verb() {
    local noun=$1 verb=$2
    shift 2
    case ${!#} in
    port) [ $# -gt 0 ] && { _kedgectl_children /port; return; } ;;
    bridge) _kedgectl_children /bridge; return ;;
    dev) _kedgectl_children /iface; return ;;
    on) echo port bridge; return ;;
    mode) echo follow bound static; return ;;
    action) echo route via drop count; return ;;
    esac
    case $noun:$# in
    fdb:0) _kedgectl_children /bridge; return ;; # these two are named by two words
    neigh:0) _kedgectl_children /iface; return ;;
    fdb:1 | neigh:1) _kedgectl_children "/$noun/$1"; return ;;
    route:0) _kedgectl_routes; return ;;
    *:0) _kedgectl_children "/$noun"; [ "$noun:$verb" = flow:why ] || return ;; # which also takes terms
    esac
    case $noun:$verb in
    *:add | *:set) echo "${_kedgectl_properties[$noun]}" ;;
    flow:why) echo "src= dst= proto= sport= dport= iface= bridge= mac=" ;;
    bridge:del) echo port ;;
    iface:del) echo address ;;
    esac
}

# /route/ADDRESS/LENGTH is written ADDRESS/LENGTH.
_kedgectl_routes() {
    local address
    for address in $(_kedgectl_children /route); do
        _kedgectl_children "/route/$address" | sed "s|^|$address/|"
    done
}

_kedgectl() {
    local word=${COMP_WORDS[COMP_CWORD]} line=${COMP_LINE:0:COMP_POINT} candidates
    local -a before
    # Not COMP_WORDS: bash splits those at ':' and '=', of which MACs and matches are full.
    read -ra before <<<"${line% *}"
    before=("${before[@]:1}")
    local whole=${line##* }
    case ${#before[@]}:${before[0]}:$whole in
    *:--*) candidates="--json --socket --applied --timeout --interval --once --dependents --learned --svg --help --version" ;;
    0:*) candidates="port bridge iface fdb neigh route flow name stats graph top trace watch wait save check" ;;
    1:name:*) candidates="add set del show read list perms" ;;
    1:flow:*) candidates="add set del show moves why" ;;
    1:port:* | 1:bridge:* | 1:iface:* | 1:fdb:* | 1:neigh:* | 1:route:*) candidates="add set del show" ;;
    1:check:*) candidates=$(compgen -f -- "$whole") ;;
    1:stats:*) candidates=$(_kedgectl_path "/stats/$whole" | sed 's|^/stats/||') ;;
    1:graph:* | 1:trace:* | *:watch:*) candidates=$(_kedgectl_path "$whole") ;;
    2:name:*) candidates=$(_kedgectl_path "$whole") ;;
    *) candidates=$(_kedgectl_after_verb "${before[@]}" 2>/dev/null) ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$candidates" -- "$whole")
    # What bash has split off already must not be typed again.
    local split=${whole%"$word"}
    COMPREPLY=("${COMPREPLY[@]#"$split"}")
    case ${COMPREPLY[0]} in
    *= | /*) compopt -o nospace ;;
    esac
}
complete -F _kedgectl kedgectl
