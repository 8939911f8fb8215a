#!/bin/sh
# Follows certstream's events with kcat, a line each, the value as it came: follow.sh BOOTSTRAP [TOPIC [default]]
# librdkafka reads committed by default; said here, because most other clients do not. A third word leaves it unsaid.
[ $# -gt 2 ] || isolation='-X isolation.level=read_committed'
exec kcat -C -q -u -b "${1:?give the brokers: BOOTSTRAP [TOPIC [default]]}" -t "${2:-certstream.events}" -o beginning $isolation -f '%s\n'
