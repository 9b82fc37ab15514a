#!/bin/bash
# A stand-in for Keycloak: wants a name of its own, waits for what it needs, keeps the version of its data and refuses those of a
# newer one, takes its users from the directory, and listens only when all of that is done.
set -eu
data=/opt/keycloak/data
say() { echo "$(date -u +'%F %T,000') $*"; }
if [ -z "${KC_HOSTNAME:-}" ]; then
    say 'ERROR [org.quarkus.runtime.cli.ExecutionExceptionHandler] Strict hostname resolution configured but no hostname setting provided' >&2
    exit 1
fi
for place in ${KEYCLOAK_WAIT_FOR:-}; do
    until (exec 3<>"/dev/tcp/${place%:*}/${place##*:}") 2>/dev/null; do
        say "waiting for $place"
        sleep 1
    done
done
if [ -f $data/version ]; then
    before=$(cat $data/version)
    if [ "$(printf '%s\n%s\n' "$before" "$KEYCLOAK_VERSION" | sort -V | tail -1)" != "$KEYCLOAK_VERSION" ]; then
        say "ERROR the data are of version $before; this is the older $KEYCLOAK_VERSION" >&2
        exit 1
    fi
fi
echo "$KEYCLOAK_VERSION" >$data/version
sleep "${KEYCLOAK_START_DELAY:-2}"
users="ou=users,$LDAP_BASE_DN"
until ldapsearch -x -LLL -H "$LDAP_URL" -D "cn=admin,$LDAP_BASE_DN" -w "${LDAP_ROOTPASS:-secret}" -b "$users" -s base 1.1 >/dev/null 2>&1; do
    say "ERROR no users at $users of $LDAP_URL"
    sleep 2
done
chown -R 1000 $data
say "INFO Keycloak $KEYCLOAK_VERSION on JVM (powered by the lab) started. Listening on: http://0.0.0.0:$HTTP_PORT"
exec setpriv --reuid=1000 --regid=1000 --clear-groups perl /usr/local/bin/server.pl
