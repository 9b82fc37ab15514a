# Starts the old versions on a host by hand, as the upgrade guide has it, with the odds and ends that such hosts collect.
# LDAP_IMAGE, LDAP_LAST (its last entry, below the base), DB_IMAGE and ARC_IMAGE say which, where it is not the usual ones.
set -eu
root=/var/local/dcm4chee-arc
until docker info >/dev/null 2>&1; do sleep 0.3; done
here() { case " $GROUPS_HERE " in *" $1 "*) true ;; *) false ;; esac; }
load() { for file in /lab-images/dcm4che-"$1"-*.tar; do docker load -q -i "$file" >/dev/null; done; }
within() { # SECONDS WHAT COMMAND…
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then echo "not in time: $what" >&2; docker ps -a >&2; docker logs --tail 20 "${what%% *}" >&2; exit 1; fi
        sleep 0.3
    done
}
docker network create dcm4chee_default >/dev/null
if here ldap; then
    load slapd-dcm4chee
    docker run -d --name ldap --network dcm4chee_default -p 389:389 --restart unless-stopped \
        -e LDAP_BASE_DN="$BASE_DN" -e LDAP_ROOTPASS="$LDAP_PASSWORD" -e LDAP_CONFIGPASS="$LDAP_CONFIG_PASSWORD" \
        -e ARCHIVE_DEVICE_NAME="$DEVICE" -e AE_TITLE="$AET" -e SITE_CONTACT=radiology-it \
        -v $root/ldap:/var/lib/openldap/openldap-data -v $root/slapd.d:/etc/openldap/slapd.d \
        "${LDAP_IMAGE:-dcm4che/slapd-dcm4chee:2.6.5-31.2}" >/dev/null
    within 60 'ldap has its last entry' docker exec ldap ldapsearch -x -LLL -D "cn=admin,$BASE_DN" -w "$LDAP_PASSWORD" \
        -s base -b "${LDAP_LAST:-cn=manage-account,ou=account},$BASE_DN" 1.1
fi
if here db; then
    load postgres-dcm4chee
    docker run -d --name db --network dcm4chee_default -p 5432:5432 -p 15432:5432 --memory 1g --restart always \
        -e POSTGRES_DB=pacsdb -e POSTGRES_USER=pacs -e POSTGRES_PASSWORD="$PG_PASSWORD" \
        -v /etc/localtime:/etc/localtime:ro -v $root/db:/var/lib/postgresql/data \
        "${DB_IMAGE:-dcm4che/postgres-dcm4chee:15.4-31}" >/dev/null
    within 90 'db answers over TCP' docker exec -e PGPASSWORD="$PG_PASSWORD" db psql -h 127.0.0.1 -U pacs -d pacsdb -c 'select 1'
    docker exec -i db psql -q -v ON_ERROR_STOP=1 -U pacs -d pacsdb <<'S'
insert into patient (pat_id, pat_name) select 'P' || n, 'Lab^Patient ' || n from generate_series(1, 50) n;
insert into study (patient_fk, study_iuid, accession_no, study_date)
    select 1 + n % 50, '2.25.1.' || n, 'A' || n, '20240101' from generate_series(1, 100) n;
insert into series (study_fk, series_iuid, modality, ext_retrieve_aet)
    select 1 + n % 100, '2.25.2.' || n, 'CT', case when n % 3 = 0 then 'REMOTE' end from generate_series(1, 300) n;
insert into instance (series_fk, sop_iuid, sop_cuid, ext_retrieve_aet)
    select 1 + n % 300, '2.25.3.' || n, '1.2.840.10008.5.1.4.1.1.2', case when n % 4 = 0 then 'REMOTE' end
    from generate_series(1, 5000) n;
insert into task (task_type, task_status, queue_name, exporter_id, device_name)
    select 1, 2, 'Export1', 'CalculateQueryAttributes', 'dcm4chee-arc' from generate_series(1, 20) n;
S
fi
if here arc; then
    load dcm4chee-arc-psql
    set --
    if ! here ldap; then set -- "$@" --add-host "ldap:$LDAP_AT"; fi
    if ! here db; then set -- "$@" --add-host "db:$DB_AT"; fi
    docker run -d --name arc --network dcm4chee_default "$@" --add-host modality-ct1:192.0.2.71 --restart unless-stopped \
        -p 8080:8080 -p 8443:8443 -p 9990:9990 -p 9993:9993 -p 11112:11112 -p 2762:2762 -p 2575:2575 -p 12575:12575 \
        -e POSTGRES_DB=pacsdb -e POSTGRES_USER=pacs -e POSTGRES_PASSWORD="$PG_PASSWORD" \
        -e LDAP_BASE_DN="$BASE_DN" -e LDAP_ROOTPASS="$LDAP_PASSWORD" -e JAVA_OPTS='-Xms64m -Xmx512m' \
        -e WILDFLY_WAIT_FOR='ldap:389 db:5432' -v /etc/localtime:/etc/localtime:ro \
        -v $root/wildfly:/opt/wildfly/standalone -v $root/storage:/storage \
        "${ARC_IMAGE:-dcm4che/dcm4chee-arc-psql:5.31.2}" >/dev/null
    within 180 'arc answers' curl -fsS -o /dev/null http://127.0.0.1:8080/dcm4chee-arc/ui2
fi
