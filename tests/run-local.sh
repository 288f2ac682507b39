#!/bin/sh
# Starts a local node from a configuration file in a scratch folder, in the foreground, and says how to
# get a first answer. `make run` calls it; Ctrl-C stops the node and removes the folder.
set -eu
example=$(realpath "$1")
scratch=$(mktemp -d "${TMPDIR:-/tmp}/insi-run.XXXXXX")
insid=
trap 'rm -rf "$scratch"' EXIT
trap 'kill -TERM "$insid" 2>/dev/null' INT TERM HUP
cp "$example" "$scratch/cluster.yaml"
chmod 600 "$scratch/cluster.yaml"
cd "$scratch"
"$BUILD/insid" --check-config
listens=$(sed -n '/^ *node0:/,/httpBinding/s/.*httpBinding: *\([^ ,}#]*\).*/\1/p' cluster.yaml)
cat <<TEXT

INSI listens on http://$listens and keeps its data in $scratch, which is removed when it stops.
In another terminal:

  cd $scratch
  $BUILD/insic --root set greeting hello
  $BUILD/insic --root get greeting
  $BUILD/insic --root ping

Ctrl-C stops it.

TEXT
"$BUILD/insid" --as node0 --config cluster.yaml &
insid=$!
status=0
wait "$insid" || status=$?
while kill -0 "$insid" 2>/dev/null; do # a signal ends only the wait
    status=0
    wait "$insid" || status=$?
done
exit "$status"
