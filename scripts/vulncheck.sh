#!/bin/sh
# Compares what is compiled into the library with Go's database of vulnerabilities, which comes from the module proxy as the
# rest does. Fails for a finding that docs/vulnerabilities.md does not explain, and for an explanation without a finding.
set -eu
cd "$(dirname "$0")/../gosrc"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

database=$(cd "$work" && go mod download -json golang.org/x/vulndb@latest | sed -n 's/^\t"Dir": "\(.*\)".*/\1/p')
echo "database: ${database##*@}"
GOBIN="$work" go install golang.org/x/vuln/cmd/govulncheck@v1.9.0
status=0
"$work/govulncheck" -db "file://$database/data/osv" . >"$work/report" || status=$?
# 3 is "found some".
[ "$status" = 0 ] || [ "$status" = 3 ] || { cat "$work/report" >&2; exit "$status"; }
sed -n 's/^Vulnerability #[0-9]*: //p' "$work/report" | sort >"$work/found"
sed -n 's/^| \(GO-[0-9-]*\) .*/\1/p' ../docs/vulnerabilities.md | sort >"$work/explained"

if cmp -s "$work/found" "$work/explained"; then
    echo "$(wc -l <"$work/found") findings, each explained in docs/vulnerabilities.md"
    exit 0
fi
echo "without an explanation (docs/vulnerabilities.md):" $(comm -23 "$work/found" "$work/explained") >&2
echo "explained, but not found any more:" $(comm -13 "$work/found" "$work/explained") >&2
exit 1
