#!/bin/sh
# Follows certstream's events with kcat, a line each, the value as it came: follow.sh BOOTSTRAP [TOPIC]
# librdkafka reads committed by default; said here, because most other clients do not.
exec kcat -C -q -u -b "$1" -t "${2:-certstream.events}" -o beginning -X isolation.level=read_committed -f '%s\n'
