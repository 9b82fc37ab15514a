#!/bin/bash
# Initialises an empty data directory with a server that nobody reaches over TCP, then runs the real one.
set -eu
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    chown -R postgres: "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
secret() { # VAR: its value, or the content of the file that VAR_FILE names
    local file="${1}_FILE"
    if [ -n "${!1:-}" ] && [ -n "${!file:-}" ]; then
        echo "error: both $1 and $file are set" >&2
        exit 1
    fi
    if [ -n "${!file:-}" ]; then cat "${!file}"; else printf %s "${!1:-}"; fi
}
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    password=$(secret POSTGRES_PASSWORD)
    user=$(secret POSTGRES_USER); user=${user:-postgres}
    database=$(secret POSTGRES_DB); database=${database:-$user}
    if [ -z "$password" ]; then
        echo "error: the data directory is empty and POSTGRES_PASSWORD is not set" >&2
        exit 1
    fi
    initdb --username="$user" --pwfile=<(printf '%s\n' "$password") --auth-local=trust --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    pg_ctl -w -o "-c listen_addresses=''" start >/dev/null
    if [ "$database" != postgres ]; then
        psql -v ON_ERROR_STOP=1 --no-password -U "$user" -d postgres -v db="$database" <<<'create database :"db";' >/dev/null
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
        *.sql) echo "$0: $file"; psql -q -v ON_ERROR_STOP=1 -U "$user" -d "$database" -f "$file" ;;
        *.sh) echo "$0: $file"; POSTGRES_USER=$user POSTGRES_DB=$database bash "$file" ;;
        esac
    done
    pg_ctl -m fast -w stop >/dev/null
    echo "PostgreSQL init process complete; ready for start up."
fi
[ "$1" != postgres ] || set -- "$@" -c 'listen_addresses=*'
exec "$@"
