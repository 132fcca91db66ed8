#!/bin/sh
# Like the public image as far as it is used here: server options as the command, data in /data, not as root.
set -eu

case "${1-}" in
    -*) set -- redis-server "$@" ;;
esac
if [ "${1-}" != redis-server ]; then
    exec "$@"
fi
exec setpriv --reuid=redis --regid=redis --init-groups "$@"
