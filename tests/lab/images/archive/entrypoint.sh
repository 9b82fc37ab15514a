#!/bin/bash
# A stand-in for the archive: treats what is mounted as the real image does, waits for what it needs, then answers.
set -eu
standalone=/opt/wildfly/standalone shipped=/docker-entrypoint.d
secret() { # VAR DEFAULT
    local file="${1}_FILE"
    if [ -n "${!file:-}" ]; then cat "${!file}"; else printf %s "${!1:-$2}"; fi
}
say() { echo "$(date -u +%H:%M:%S,000) $*"; }
mkdir -p $standalone/configuration $standalone/deployments $standalone/log
versions=$standalone/configuration/VERSION
touch "$versions"
newest=$(sort -V "$versions" | tail -1)
if [ -n "$newest" ] && [ "$newest" != "$ARCHIVE_VERSION" ] &&
    [ "$(printf '%s\n%s\n' "$newest" "$ARCHIVE_VERSION" | sort -V | tail -1)" = "$newest" ]; then
    say "ERROR the configuration in $standalone is of version $newest; this is the older $ARCHIVE_VERSION" >&2
    exit 1
fi
if ! grep -qxF "$ARCHIVE_VERSION" "$versions"; then
    for file in $shipped/configuration/*.xml; do
        old=$standalone/configuration/$(basename "$file")
        [ ! -f "$old" ] || cp -p "$old" "$old~"
        cp "$file" "$old"
    done
    echo "$ARCHIVE_VERSION" >>"$versions"
fi
for file in "$standalone"/deployments/*.[ew]ar*; do
    [ ! -e "$file" ] || [ -e "$shipped/deployments/$(basename "$file")" ] || rm -f "$file"
done
cp $shipped/deployments/* $standalone/deployments/
chown -R 1023:1023 $standalone
for place in ${WILDFLY_WAIT_FOR:-}; do
    until (exec 3<>"/dev/tcp/${place%:*}/${place##*:}") 2>/dev/null; do
        say "waiting for $place"
        sleep 1
    done
done
sleep "${WILDFLY_START_DELAY:-1}"
if [ -n "${POSTGRES_DB:-}" ]; then
    export PGPASSWORD; PGPASSWORD=$(secret POSTGRES_PASSWORD '')
    ask() { psql -h "$POSTGRES_HOST" -p "$POSTGRES_PORT" -U "$(secret POSTGRES_USER pacs)" -d "$POSTGRES_DB" -Atc "$1"; }
    until found=$(ask "select count(*) from information_schema.columns where table_name='study' and column_name='study_deleting'"); do
        say "ERROR no connection to the database"
        sleep 2
    done
    if [ "$found" = 0 ] && [ "$(printf '5.32\n%s\n' "$ARCHIVE_VERSION" | sort -V | head -1)" = 5.32 ]; then
        say 'ERROR: column "study_deleting" of table "study" does not exist; deployment failed' >&2
        exit 1
    fi
fi
say "INFO dcm4chee-arc $ARCHIVE_VERSION started"
exec setpriv --reuid=1023 --regid=1023 --clear-groups perl /usr/local/bin/server.pl
