#!/bin/sh
# Compares what is compiled in of Go modules with Go's vulnerability database, which comes from the module proxy as the modules do.
# Fails if EXPLANATIONS does not explain a finding, or explains one that no longer exists.
#
#   vulncheck.sh [MODULE PACKAGES EXPLANATIONS]    default: gosrc . docs/vulnerabilities.md
#
# Build tags are those in GOFLAGS.
set -eu
cd "$(dirname "$0")/.."
module=${1:-gosrc} packages=${2:-.} explanations=${3:-docs/vulnerabilities.md}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

database=$(cd "$work" && go mod download -json golang.org/x/vulndb@latest | sed -n 's/^\t"Dir": "\(.*\)".*/\1/p')
echo "database: ${database##*@}"
GOFLAGS="" GOBIN="$work" go install golang.org/x/vuln/cmd/govulncheck@v1.9.0
status=0
(cd "$module" && "$work/govulncheck" -db "file://$database/data/osv" "$packages") >"$work/report" || status=$?
# exit code 3: found some
[ "$status" = 0 ] || [ "$status" = 3 ] || { cat "$work/report" >&2; exit "$status"; }
sed -n 's/^Vulnerability #[0-9]*: //p' "$work/report" | sort >"$work/found"
sed -n 's/^| \(GO-[0-9-]*\) .*/\1/p' "$explanations" | sort >"$work/explained"

if cmp -s "$work/found" "$work/explained"; then
    echo "$(wc -l <"$work/found") findings, each explained in $explanations"
    exit 0
fi
echo "not explained in $explanations:" $(comm -23 "$work/found" "$work/explained") >&2
echo "explained, but no longer found:" $(comm -13 "$work/found" "$work/explained") >&2
exit 1
