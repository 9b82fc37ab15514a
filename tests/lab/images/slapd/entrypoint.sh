#!/bin/bash
# First start: a configuration database; then, behind the back of a server that answers already, the archive's schema
# and initial entries. Every later start: just the server.
set -eu
secret() {
    local file="${1}_FILE"
    if [ -n "${!file:-}" ]; then cat "${!file}"; else printf %s "${!1:-}"; fi
}
data=/var/lib/openldap/openldap-data conf=/etc/openldap/slapd.d
# The images 2.4.44 had them elsewhere, and so has whoever mounts something there.
if grep -q ' /var/lib/ldap ' /proc/mounts; then data=/var/lib/ldap conf=/etc/ldap/slapd.d; fi
root=$(secret LDAP_ROOTPASS) config=$(secret LDAP_CONFIGPASS)
rename() {
    sed -e "s/dc=dcm4che,dc=org/$LDAP_BASE_DN/g" -e "s/dicomDeviceName=dcm4chee-arc/dicomDeviceName=$ARCHIVE_DEVICE_NAME/g" \
        -e "s/^dicomDeviceName: dcm4chee-arc\$/dicomDeviceName: $ARCHIVE_DEVICE_NAME/" \
        -e "s/dicomAETitle=DCM4CHEE,/dicomAETitle=$AE_TITLE,/g" -e "s/^dicomAETitle: DCM4CHEE\$/dicomAETitle: $AE_TITLE/" \
        -e "s/^dc: dcm4che\$/dc: $(sed 's/^dc=\([^,]*\).*/\1/' <<<"$LDAP_BASE_DN")/" "$1"
}
load() {
    sleep 2
    for name in dicom dcm4che dcm4chee-archive dcm4chee-archive-ui; do
        ldapadd -x -D cn=admin,cn=config -w "$config" -f "/etc/openldap/schema/$name.ldif" || return
    done
    add() { ldapadd -x -D "cn=admin,$LDAP_BASE_DN" -w "$root"; }
    rename /etc/openldap/init/10-base.ldif | add
    if [ "$SKIP_INIT_CONFIG" != true ]; then
        for file in /etc/openldap/init/[2-9]*.ldif; do rename "$file" | add; done
    fi
    for file in ${IMPORT_LDIF:-}; do add <"$file"; done
}
if [ ! -f "$conf/cn=config.ldif" ]; then
    mkdir -p "$data" "$conf"
    {
        cat <<C
dn: cn=config
objectClass: olcGlobal
cn: config
olcPidFile: /run/slapd/slapd.pid
olcTLSCACertificateFile: $LDAP_TLS_CACERT
olcTLSCertificateFile: $LDAP_TLS_CERT
olcTLSCertificateKeyFile: $LDAP_TLS_KEY
olcTLSVerifyClient: $LDAP_TLS_VERIFY

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

C
        for name in core cosine nis inetorgperson; do cat /etc/ldap/schema/$name.ldif; echo; done
        cat <<C
dn: olcDatabase={-1}frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: {-1}frontend
olcSizeLimit: unlimited

dn: olcDatabase={0}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {0}config
olcRootDN: cn=admin,cn=config
olcRootPW: $(slappasswd -s "$config")
olcAccess: {0}to * by dn.base="gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth" manage by * break

dn: olcDatabase={1}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {1}mdb
olcDbDirectory: $data
olcDbMaxSize: 268435456
olcSuffix: $LDAP_BASE_DN
olcRootDN: cn=admin,$LDAP_BASE_DN
olcRootPW: $(slappasswd -s "$root")
olcDbIndex: objectClass eq
olcAccess: {0}to * by dn.base="gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth" manage by * none
C
    } | slapadd -n 0 -F "$conf"
    load &
fi
# A table of a million descriptors, as daemons get them from Docker, costs slapd hundreds of megabytes.
ulimit -n 4096
exec slapd -d 256 -F "$conf" -h "$LDAP_URLS ldapi:///"
