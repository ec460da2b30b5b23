#!/bin/sh
# Compares the modules of the library with Go's vulnerability database, which comes from the module proxy as the modules do.
# Fails if docs/vulnerabilities.md does not explain a finding, or explains one that no longer exists.
set -eu
cd "$(dirname "$0")/../gosrc"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

database=$(cd "$work" && go mod download -json golang.org/x/vulndb@latest | sed -n 's/^\t"Dir": "\(.*\)".*/\1/p')
echo "database: ${database##*@}"
GOBIN="$work" go install golang.org/x/vuln/cmd/govulncheck@v1.9.0
status=0
"$work/govulncheck" -db "file://$database/data/osv" . >"$work/report" || status=$?
# exit code 3: found some
[ "$status" = 0 ] || [ "$status" = 3 ] || { cat "$work/report" >&2; exit "$status"; }
sed -n 's/^Vulnerability #[0-9]*: //p' "$work/report" | sort >"$work/found"
sed -n 's/^| \(GO-[0-9-]*\) .*/\1/p' ../docs/vulnerabilities.md | sort >"$work/explained"

if cmp -s "$work/found" "$work/explained"; then
    echo "$(wc -l <"$work/found") findings, each explained in docs/vulnerabilities.md"
    exit 0
fi
echo "not explained in docs/vulnerabilities.md:" $(comm -23 "$work/found" "$work/explained") >&2
echo "explained, but no longer found:" $(comm -13 "$work/found" "$work/explained") >&2
exit 1
