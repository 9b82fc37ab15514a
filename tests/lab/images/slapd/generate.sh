#!/bin/bash
# Writes the schema, the initial configuration and the update files of the stand-in directory server.
# usage: generate.sh VERSION FOLDER; VERSION is 5.31.2 or 5.32.0. Names of attributes and classes are the archive's own,
# the entries are a miniature made for the lab, the numbers lie below 1.3.6.1.4.1.99999.
set -eu
version=$1 out=$2
arc=1.3.6.1.4.1.99999
config='cn=DICOM Configuration,dc=dcm4che,dc=org'
devices="cn=Devices,$config"
dev="dicomDeviceName=dcm4chee-arc,$devices"
store="dicomDeviceName=storescp,$devices"
ui="dcmuiConfigName=default,$dev"
mkdir -p "$out/schema" "$out/init" "$out/data"

# --- schema: one line an attribute, `name kind [single]`; one line a class, `class name sup kind must may`
describe() { # area NUMBER: reads lines, writes values
    local area=$1 number=0 a b c d e f
    while read -r a b c d e f; do
        number=$((number + 1))
        case $a in
        '') ;;
        class) echo "olcObjectClasses: ( $arc.$area.4.$number NAME '$b' SUP $c $d MUST ( ${e//,/ \$ } ) MAY ( ${f//,/ \$ } ) )" ;;
        *)
            case $b in
            text) b='EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15' ;;
            exact) b='EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15' ;;
            ia5) b='EQUALITY caseExactIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26' ;;
            number) b='EQUALITY integerMatch ORDERING integerOrderingMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27' ;;
            bool) b='EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7' ;;
            name) b='EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12' ;;
            oid) b='EQUALITY objectIdentifierMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.38' ;;
            bytes) b='SYNTAX 1.3.6.1.4.1.1466.115.121.1.40' ;;
            esac
            echo "olcAttributeTypes: ( $arc.$area.3.$number NAME '$a' $b${c:+ SINGLE-VALUE} )" ;;
        esac
    done
}
schema() { # NAME INDEX AREA: lines on standard input
    local values
    values=$(describe "$3")
    {
        printf 'version: 1\n\ndn: cn=%s,cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: %s\n' "$1" "$1"
        printf '%s\n' "$values"
    } >"$out/schema/$1.ldif"
    {
        printf 'version: 1\n\ndn: cn={%s}%s,cn=schema,cn=config\nchangetype: modify\n' "$2" "$1"
        if [ "$1" = dicom ]; then printf 'delete: olcAttributeTypes\n-\nadd: olcAttributeTypes\n'; else echo 'replace: olcAttributeTypes'; fi
        grep ^olcA <<<"$values"
        echo -
        if [ "$1" = dicom ]; then printf 'delete: olcObjectClasses\n-\nadd: olcObjectClasses\n'; else echo 'replace: olcObjectClasses'; fi
        grep ^olcO <<<"$values"
        echo -
    } >"$out/schema/$1-modify.ldif"
}
# What 5.32.0 brings with it.
new_archive='' new_archive_may='' new_ui='' new_ui_may=''
if [ "$version" = 5.32.0 ]; then
    new_archive='dcmStudyDeletingInterval exact single' new_archive_may=,dcmStudyDeletingInterval
    new_ui='dcmuiInstitutionName text' new_ui_may=,dcmuiInstitutionName
fi
schema dicom 4 1 <<S
dicomDeviceName text single
dicomDescription text single
dicomInstalled bool single
dicomHostname text single
dicomPort number single
dicomAETitle exact single
dicomNetworkConnectionReference name
dicomAssociationInitiator bool single
dicomAssociationAcceptor bool single
dicomSOPClass oid single
dicomTransferRole text single
dicomTransferSyntax oid
dicomVendorData bytes
dicomSoftwareVersion text
class dicomConfigurationRoot top STRUCTURAL cn dicomDescription
class dicomDevicesRoot top STRUCTURAL cn dicomDescription
class dicomUniqueAETitlesRegistryRoot top STRUCTURAL cn dicomDescription
class dicomDevice top STRUCTURAL dicomDeviceName,dicomInstalled dicomDescription,dicomVendorData,dicomSoftwareVersion
class dicomNetworkAE top STRUCTURAL dicomAETitle,dicomNetworkConnectionReference,dicomAssociationInitiator,dicomAssociationAcceptor dicomDescription,dicomInstalled
class dicomNetworkConnection top STRUCTURAL dicomHostname cn,dicomPort,dicomInstalled
class dicomUniqueAETitle top STRUCTURAL dicomAETitle dicomDescription
class dicomTransferCapability top STRUCTURAL dicomSOPClass,dicomTransferRole,dicomTransferSyntax cn,dicomDescription
S
schema dcm4che 5 2 <<S
dcmIIOFormatName text single
dcmJavaClassName exact single
dcmAcceptedCallingAETitle exact
dcmInstitutionCode text
class dcmDevice top AUXILIARY objectClass dcmInstitutionCode
class dcmNetworkConnection top AUXILIARY objectClass dcmInstitutionCode
class dcmNetworkAE top AUXILIARY objectClass dcmAcceptedCallingAETitle
class dcmTransferCapability top AUXILIARY objectClass dicomDescription
class dcmImageReaderFactory top STRUCTURAL cn dicomDescription
class dcmImageReader top STRUCTURAL dicomTransferSyntax,dcmIIOFormatName,dcmJavaClassName dicomDescription
S
schema dcm4chee-archive 6 3 <<S
dcmTag ia5
dcmEntity ia5 single
dcmAttributeSetID exact single
dcmAttributeSetType ia5 single
dcmAcceptedUserRole exact
dcmStorageID exact single
dcmURI ia5 single
dcmObjectStorageID exact
dcmQueryRetrieveViewID exact single
dcmFuzzyAlgorithmClass exact single
dcmPurgeInterval exact single
$new_archive
class dcmArchiveDevice top AUXILIARY objectClass dcmFuzzyAlgorithmClass,dcmPurgeInterval$new_archive_may
class dcmArchiveNetworkAE top AUXILIARY objectClass dcmAcceptedUserRole,dcmObjectStorageID,dcmQueryRetrieveViewID
class dcmAttributeFilter top STRUCTURAL dcmEntity dcmTag
class dcmAttributeSet top STRUCTURAL dcmAttributeSetID,dcmAttributeSetType dcmTag,dicomDescription
class dcmStorage top STRUCTURAL dcmStorageID,dcmURI dicomDescription
S
schema dcm4chee-archive-ui 7 4 <<S
dcmuiConfigName exact single
dcmuiModalities exact
dcmuiPermissionName exact single
dcmuiAction exact single
dcmuiActionParam exact
$new_ui
class dcmuiConfig top STRUCTURAL dcmuiConfigName dcmuiModalities$new_ui_may
class dcmuiPermission top STRUCTURAL dcmuiPermissionName dcmuiAction,dcmuiActionParam,dcmAcceptedUserRole
S

# --- initial configuration as of 5.31.2, with the roles, tags and permissions of 5.32.0 where that is asked for
new() { [ "$version" = 5.32.0 ]; }
syntaxes() { printf 'dicomTransferSyntax: 1.2.840.10008.1.2%s\n' '' .1 .4.201 .4.202 .4.203; }
capability() { # NAME CLASS ROLE AE-DN
    printf '\ndn: cn=%s %s,%s\nobjectClass: dicomTransferCapability\nobjectClass: dcmTransferCapability\ncn: %s %s\ndicomSOPClass: %s\ndicomTransferRole: %s\n' \
        "$1" "$3" "$4" "$1" "$3" "$2" "$3"
    syntaxes
}
ae() { # TITLE DEVICE-DN [ROLES]
    printf '\ndn: dicomAETitle=%s,%s\nobjectClass: dicomNetworkAE\nobjectClass: dcmNetworkAE\nobjectClass: dcmArchiveNetworkAE\ndicomAETitle: %s\ndicomNetworkConnectionReference: cn=dicom,%s\ndicomAssociationInitiator: TRUE\ndicomAssociationAcceptor: TRUE\n' \
        "$1" "$2" "$1" "$2"
    if ! new; then for role in ${3:-}; do echo "dcmAcceptedUserRole: $role"; done; fi
}
titles='DCM4CHEE WORKLIST AS_RECEIVED IOCM_REGULAR_USE IOCM_QUALITY IOCM_PAT_SAFETY IOCM_WRONG_MWL IOCM_EXPIRED'
classes='CT:1.2.840.10008.5.1.4.1.1.2 MR:1.2.840.10008.5.1.4.1.1.4 RT:1.2.840.10008.5.1.4.1.1.481.1'
head='cn: DICOM Configuration'
cat >"$out/init/10-base.ldif" <<S
dn: dc=dcm4che,dc=org
objectClass: top
objectClass: dcObject
objectClass: organization
dc: dcm4che
o: dcm4che.org
S
{
    printf 'dn: %s\nobjectClass: dicomConfigurationRoot\n%s\n' "$config" "$head"
    printf '\ndn: %s\nobjectClass: dicomDevicesRoot\ncn: Devices\n' "$devices"
    printf '\ndn: cn=Unique AE Titles Registry,%s\nobjectClass: dicomUniqueAETitlesRegistryRoot\ncn: Unique AE Titles Registry\n' "$config"
    for title in $titles STORESCP; do
        printf '\ndn: dicomAETitle=%s,cn=Unique AE Titles Registry,%s\nobjectClass: dicomUniqueAETitle\ndicomAETitle: %s\n' "$title" "$config" "$title"
    done
} >"$out/init/20-roots.ldif"
{
    printf 'dn: %s\nobjectClass: dicomDevice\nobjectClass: dcmDevice\nobjectClass: dcmArchiveDevice\ndicomDeviceName: dcm4chee-arc\ndicomInstalled: TRUE\ndcmPurgeInterval: PT5M\ndicomVendorData:< file:///etc/openldap/vendor-data.zip\n' "$dev"
    printf '\ndn: cn=dicom,%s\nobjectClass: dicomNetworkConnection\nobjectClass: dcmNetworkConnection\ncn: dicom\ndicomHostname: arc\ndicomPort: 11112\n' "$dev"
    printf '\ndn: cn=dicom-tls,%s\nobjectClass: dicomNetworkConnection\nobjectClass: dcmNetworkConnection\ncn: dicom-tls\ndicomHostname: arc\ndicomPort: 2762\n' "$dev"
    for title in $titles; do
        case $title in DCM4CHEE | WORKLIST) ae "$title" "$dev" 'admin user' ;; *) ae "$title" "$dev" admin ;; esac
    done
    for title in DCM4CHEE AS_RECEIVED IOCM_REGULAR_USE; do
        for class in $classes; do
            for role in SCP SCU; do
                if [ $title = DCM4CHEE ] || [ $role = SCU ]; then
                    capability "${class%%:*} Image Storage" "${class##*:}" $role "dicomAETitle=$title,$dev"
                fi
            done
        done
    done
    printf '\ndn: dcmStorageID=fs1,%s\nobjectClass: dcmStorage\ndcmStorageID: fs1\ndcmURI: file:///storage/fs1/\n' "$dev"
    for entity in Patient:00100010,00100020,00100030 Study:00080020,00080030,00080050,0020000D Series:00080060,0020000E,00200011 Instance:00080016,00080018,00200013,0040E001; do
        printf '\ndn: dcmEntity=%s,%s\nobjectClass: dcmAttributeFilter\ndcmEntity: %s\n' "${entity%%:*}" "$dev" "${entity%%:*}"
        tags=${entity##*:}
        if new; then case $entity in Study:*) tags+=,00401012 ;; Series:*) tags+=,00081070,00081072 ;; Instance:*) tags+=,0040A078 ;; esac; fi
        for tag in ${tags//,/ }; do echo "dcmTag: $tag"; done
    done
    printf '\ndn: dcmAttributeSetID=AttributeFilters+dcmAttributeSetType=WADO_RS,%s\nobjectClass: dcmAttributeSet\ndcmAttributeSetID: AttributeFilters\ndcmAttributeSetType: WADO_RS\ndcmTag: 00080018\ndcmTag: 0040E001\n' "$dev"
    printf '\ndn: cn=Image Reader Factory,%s\nobjectClass: dcmImageReaderFactory\ncn: Image Reader Factory\n' "$dev"
    for syntax in 4.50 4.201 4.202 4.203; do
        printf '\ndn: dicomTransferSyntax=1.2.840.10008.1.2.%s,cn=Image Reader Factory,%s\nobjectClass: dcmImageReader\ndicomTransferSyntax: 1.2.840.10008.1.2.%s\ndcmIIOFormatName: jpeg-cv\ndcmJavaClassName: org.runbook.lab.Reader\n' $syntax "$dev" $syntax
    done
    printf '\ndn: %s\nobjectClass: dicomDevice\nobjectClass: dcmDevice\ndicomDeviceName: storescp\ndicomInstalled: TRUE\n' "$store"
    printf '\ndn: cn=dicom,%s\nobjectClass: dicomNetworkConnection\nobjectClass: dcmNetworkConnection\ncn: dicom\ndicomHostname: storescp-host\ndicomPort: 11117\n' "$store"
    ae STORESCP "$store"
    for class in "${classes##* }" CM:1.2.840.10008.5.1.4.1.1.77.1.8 CMTP:1.2.840.10008.5.1.4.1.1.77.1.9; do
        capability "${class%%:*} Image Storage" "${class##*:}" SCP "dicomAETitle=STORESCP,$store"
    done
} >"$out/init/30-devices.ldif"
permission() { # NAME ACTION ROLES [changetype]
    printf '\ndn: dcmuiPermissionName=%s,%s\n' "$1" "$ui"
    [ -z "${4:-}" ] || echo "changetype: $4"
    printf 'objectClass: dcmuiPermission\ndcmuiPermissionName: %s\ndcmuiAction: %s\ndcmuiActionParam: visible\n' "$1" "$2"
    for role in $3; do echo "dcmAcceptedUserRole: $role"; done
}
verification() {
    permission 'Action - Monitoring - Storage Verification Single Action' 'action-monitoring->storage_verification-single_action' admin "${1:-}"
    permission 'Action - Monitoring - Storage Verification All Actions' 'action-monitoring->storage_verification-all_action' admin "${1:-}"
}
{
    printf 'dn: %s\nobjectClass: dcmuiConfig\ndcmuiConfigName: default\ndcmuiModalities: CT\ndcmuiModalities: MR\n' "$ui"
    permission 'Menu - Navigation' menu-study 'admin user'
    permission 'Tab - Study - Study' tab-study-study 'admin user'
    permission 'Menu - Monitoring' menu-monitoring admin
    if new; then verification; fi
} >"$out/init/40-ui.ldif"
group() { # NAME OU MEMBERS
    printf '\ndn: cn=%s,ou=%s,dc=dcm4che,dc=org\nobjectClass: groupOfNames\ncn: %s\n' "$1" "$2" "$1"
    for member in $3; do echo "member: uid=$member,ou=users,dc=dcm4che,dc=org"; done
}
{
    for ou in users realm-management account; do
        printf '\ndn: ou=%s,dc=dcm4che,dc=org\nobjectClass: organizationalUnit\nou: %s\n' $ou $ou
    done
    for user in root admin user; do
        printf '\ndn: uid=%s,ou=users,dc=dcm4che,dc=org\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s\nsn: %s\nuserPassword: changeit\n' $user $user $user $user
    done
    group auth users 'root admin user'
    group root users root
    group admin users admin
    group user users user
    group auditlog users root
    group ADMINISTRATOR users root
    for role in create-client manage-users view-realm; do group $role realm-management root; done
    for role in view-profile manage-account; do group $role account 'root admin user'; done
} >"$out/init/50-users.ldif"

# --- update files
update() { # COMPONENT VERSION: records on standard input
    mkdir -p "$out/data/$2"
    { echo 'version: 1'; cat; } >"$out/data/$2/update-$1-$2.ldif"
}
modify() { # DN OPERATION ATTRIBUTE VALUES
    local operation=$2 attribute=$3
    printf '\ndn: %s\nchangetype: modify\n%s: %s\n' "$1" "$operation" "$attribute"
    shift 3
    for value in "$@"; do echo "$attribute: $value"; done
}
vendor() { printf '\ndn: %s\nchangetype: modify\nreplace: dicomVendorData\ndicomVendorData:< file:vendor-data.zip\n' "$dev"; }
{
    vendor
    # Only the new schema knows it.
    modify "$dev" add dcmStudyDeletingInterval PT1M
    modify "dcmEntity=Instance,$dev" add dcmTag 0040E001
    modify "dcmAttributeSetID=AttributeFilters+dcmAttributeSetType=WADO_RS,$dev" add dcmTag 0040E001
} | update dev 5.31.1
{
    vendor
    # Only the new schema knows it.
    modify "$dev" add dcmStudyDeletingInterval PT1M
    for syntax in 4.201 4.202 4.203; do
        printf '\ndn: dicomTransferSyntax=1.2.840.10008.1.2.%s,cn=Image Reader Factory,%s\nchangetype: add\nobjectClass: dcmImageReader\ndicomTransferSyntax: 1.2.840.10008.1.2.%s\ndcmIIOFormatName: jpeg-cv\ndcmJavaClassName: org.runbook.lab.Reader\n' $syntax "$dev" $syntax
    done
} | update dev 5.31.2
for title in DCM4CHEE AS_RECEIVED IOCM_REGULAR_USE; do
    for class in CT MR RT; do
        for role in SCP SCU; do
            if [ $title = DCM4CHEE ] || [ $role = SCU ]; then
                modify "cn=$class Image Storage $role,dicomAETitle=$title,$dev" add dicomTransferSyntax \
                    1.2.840.10008.1.2.4.201 1.2.840.10008.1.2.4.202 1.2.840.10008.1.2.4.203
            fi
        done
    done | update $title 5.31.2
done
for class in CM:1.2.840.10008.5.1.4.1.1.77.1.8 CMTP:1.2.840.10008.5.1.4.1.1.77.1.9; do
    capability "${class%%:*} Image Storage" "${class##*:}" SCP "dicomAETitle=STORESCP,$store" | sed '/^dn:/a changetype: add'
done | update storescp 5.31.2
# Something that was never a real archive of files, but differs from version to version as the real one does.
printf 'PK vendor data of the lab, %s\n' 5.31.2 >"$out/vendor-data-5.31.2.zip"
cp "$out/vendor-data-5.31.2.zip" "$out/data/5.31.1/vendor-data.zip"
cp "$out/vendor-data-5.31.2.zip" "$out/data/5.31.2/vendor-data.zip"
printf 'PK vendor data of the lab, %s\n' "$version" >"$out/vendor-data.zip"
rm "$out/vendor-data-5.31.2.zip"
new || exit 0
{
    vendor
    # Only the new schema knows it.
    modify "$dev" add dcmStudyDeletingInterval PT1M
    modify "dcmEntity=Study,$dev" add dcmTag 00401012
    modify "dcmEntity=Series,$dev" add dcmTag 00081070 00081072
    modify "dcmEntity=Instance,$dev" add dcmTag 0040A078
} | update dev 5.32.0
for title in $titles; do
    case $title in
    DCM4CHEE | WORKLIST) modify "dicomAETitle=$title,$dev" delete dcmAcceptedUserRole admin user ;;
    *) modify "dicomAETitle=$title,$dev" delete dcmAcceptedUserRole admin ;;
    esac | update $title 5.32.0
done
verification add | update ui-config 5.32.0
cp "$out/vendor-data.zip" "$out/data/5.32.0/vendor-data.zip"
