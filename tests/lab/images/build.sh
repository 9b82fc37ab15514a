#!/bin/bash
# Builds the lab's images that are not there yet and saves those that sites need as .lab/images/*.tar.
# usage: build.sh LAB, where LAB is the folder .lab
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) lab=$(mkdir -p "$1" && cd "$1" && pwd)
mkdir -p "$lab/images" "$lab/build"
export DOCKER_BUILDKIT=0
sum=$(cd "$here" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
[ "$(cat "$lab/images/sum" 2>/dev/null)" = "$sum" ] || rm -f "$lab"/images/*.tar
docker image inspect runbook-lab/base:12 >/dev/null 2>&1 || "$here/base.sh" bookworm 12 "$lab/cache"
docker image inspect runbook-lab/base:13 >/dev/null 2>&1 || "$here/base.sh" trixie 13 "$lab/cache"
build() { # TAG FOLDER ARG…
    local tag=$1 context="$lab/build/context-$2" log
    log="$lab/build/$(tr /: -- <<<"$tag").log"
    rm -rf "$context"
    cp -r "$here/$2" "$context"
    if [ "$2" = slapd ]; then "$here/slapd/generate.sh" "$4" "$context/generated"; fi
    local args=(--build-arg "BASE=$3")
    case $2 in
    slapd | archive | keycloak) args+=(--build-arg "VERSION=$4") ;;
    postgres) args+=(--build-arg "MAJOR=$4" --build-arg "RELEASE=$5") ;;
    host) args+=(--build-arg "EXTRA=$4") ;;
    esac
    echo "building $tag"
    docker build --network host "${args[@]}" -t "$tag" "$context" >"$log" 2>&1 || { tail -20 "$log"; echo "$tag: failed, see $log"; exit 1; }
    rm -rf "$context"
}
save() { # TAG
    local file
    file="$lab/images/$(tr /: -- <<<"$1").tar"
    if [ -f "$file" ]; then return; fi
    docker save "$1" -o "$file.part" && mv "$file.part" "$file"
}
image() { # TAG FOLDER ARG…
    if docker image inspect "$1" >/dev/null 2>&1 && [ "$(cat "$lab/images/sum" 2>/dev/null)" = "$sum" ]; then :; else build "$@"; fi
}
image dcm4che/slapd-dcm4chee:2.6.5-31.2 slapd 12 5.31.2
image dcm4che/slapd-dcm4chee:2.6.6-32.0 slapd 13 5.32.0
image dcm4che/postgres-dcm4chee:15.4-31 postgres 12 15 31
image dcm4che/postgres-dcm4chee:15.6-32 postgres 12 15 32
image dcm4che/postgres-dcm4chee:17.2-32 postgres 13 17 32
image dcm4che/dcm4chee-arc-psql:5.31.2 archive 12 5.31.2
image dcm4che/dcm4chee-arc-psql:5.32.0 archive 12 5.32.0
image dcm4che/keycloak:26.0.6 keycloak 12 26.0.6
image runbook-lab/host:12 host 12 ''
image runbook-lab/site:12 host 12 'docker.io iptables docker-compose'
for tag in slapd-dcm4chee:2.6.5-31.2 slapd-dcm4chee:2.6.6-32.0 postgres-dcm4chee:15.4-31 postgres-dcm4chee:15.6-32 \
    postgres-dcm4chee:17.2-32 dcm4chee-arc-psql:5.31.2 dcm4chee-arc-psql:5.32.0 keycloak:26.0.6; do
    save "dcm4che/$tag"
done
echo "$sum" >"$lab/images/sum"
