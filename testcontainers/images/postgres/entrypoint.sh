#!/bin/sh
# Like the public image as far as it is used here: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, POSTGRES_INITDB_ARGS and
# PGDATA; server options as the command; "ready to accept connections" on standard error. While the cluster is filled, no
# port is open.
set -eu

PATH=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1):$PATH
: "${PGDATA:=/var/lib/postgresql/data}" "${POSTGRES_USER:=postgres}" "${POSTGRES_INITDB_ARGS:=}"
: "${POSTGRES_DB:=$POSTGRES_USER}"

as_postgres() {
    setpriv --reuid=postgres --regid=postgres --init-groups "$@"
}

fill_cluster() {
    : "${POSTGRES_PASSWORD:?the superuser needs a password}"
    install -d -o postgres -g postgres -m 0700 "$PGDATA" /run/postgresql
    password=$(mktemp)
    printf %s "$POSTGRES_PASSWORD" > "$password"
    chown postgres "$password"
    # Arguments are separated by spaces, as with the public image.
    # shellcheck disable=SC2086
    as_postgres initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile="$password" --auth-local=trust \
        --auth-host=scram-sha-256 $POSTGRES_INITDB_ARGS
    rm "$password"
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    if [ "$POSTGRES_DB" != postgres ]; then
        echo "CREATE DATABASE \"$POSTGRES_DB\"" | as_postgres postgres --single -D "$PGDATA" postgres
    fi
}

case "${1-}" in
    -*) set -- postgres "$@" ;;
esac
if [ "${1-}" != postgres ]; then
    exec "$@"
fi
[ -s "$PGDATA/PG_VERSION" ] || fill_cluster
shift
exec setpriv --reuid=postgres --regid=postgres --init-groups \
    postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql "$@"
