#!/bin/sh
# Starts a local node from a configuration file in a scratch folder, in the foreground, and says how to
# get a first answer. `make run` calls it; Ctrl-C stops the node and removes the folder.
set -eu
example=$(realpath "$1")
scratch=$(mktemp -d "${TMPDIR:-/tmp}/insi-run.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap : INT TERM # insid gets them too and stops; we wait for it
cp "$example" "$scratch/cluster.yaml"
chmod 600 "$scratch/cluster.yaml"
cd "$scratch"
cat <<TEXT
INSI runs in $scratch and is removed with it. In another terminal:

  cd $scratch
  $BUILD/insic --root set greeting hello
  $BUILD/insic --root get greeting
  $BUILD/insic --root ping

Ctrl-C stops it.
TEXT
status=0
"$BUILD/insid" --as node0 --config cluster.yaml || status=$?
exit "$status"
