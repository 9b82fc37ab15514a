#!/bin/sh
# Makes the base image runbook-lab/base:NUMBER of a Debian release, without any image registry.
# usage: base.sh RELEASE NUMBER CACHE
set -eu
release=$1 number=$2 cache=$3
mkdir -p "$cache"
if [ ! -f "$cache/base-$number.tar" ]; then
    root="$cache/root-$number"
    rm -rf "$root"
    debootstrap --variant=minbase "$release" "$root" >"$cache/debootstrap-$number.log" 2>&1
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* \
        "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/log/*.log
    # What is installed later comes without documentation too, and no service starts by itself.
    printf 'path-exclude /usr/share/doc/*\npath-exclude /usr/share/man/*\npath-exclude /usr/share/locale/*\n' \
        >"$root/etc/dpkg/dpkg.cfg.d/slim"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    tar -C "$root" --numeric-owner -cf "$cache/base-$number.part" .
    mv "$cache/base-$number.part" "$cache/base-$number.tar"
    rm -rf "$root"
fi
docker import -c 'LABEL org.runbook.lab=stand-in' -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    -c 'CMD ["/bin/sh"]' "$cache/base-$number.tar" "runbook-lab/base:$number" >/dev/null
