#!/bin/sh
# Starts the nodes of a configuration file on this machine, in a scratch folder and in the foreground, and
# says how to get a first answer. `make run` calls it; Ctrl-C stops the nodes and removes the folder.
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
cat <<TEXT

Three nodes start in $scratch, which is removed when they stop. When all are ready (below), in another terminal:

  cd $scratch
  $BUILD/insic --root set greeting hello
  $BUILD/insic --root --target node1 get greeting
  $BUILD/insic --root cluster

Ctrl-C stops them.

TEXT
"$BUILD/insid" --host --config cluster.yaml &
insid=$!
status=0
wait "$insid" || status=$?
while kill -0 "$insid" 2>/dev/null; do # a signal ends only the wait
    status=0
    wait "$insid" || status=$?
done
exit "$status"
