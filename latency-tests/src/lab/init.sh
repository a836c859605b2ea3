#!/bin/busybox sh
# The first process of a lab machine. It makes the host's root, read-only and shared over 9p, the
# lower layer of an overlay in memory, so that every program and every build of the host is there
# and nothing of the host can change; runs the job as root in it, and switches the machine off.
# The files of the job lie in the second share, /run/out in the machine.
#
# A machine that is to be suspended (own_root=1, from the kernel's arguments) has all of its root in
# memory instead, with the few programs that it is told: its shares do not live through a suspension.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module" 2>/dev/null; done < /modules/order

fail() { echo "lab: $1" > /dev/console; poweroff -f; }

p9=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o "$p9,ro,cache=loose" root /lower || fail 'the root cannot be mounted'
if [ -n "$own_root" ]; then
    mount -t tmpfs -o mode=755 tmpfs /new
    mkdir -p /new/bin /new/usr/bin /new/proc /new/sys /new/dev /new/run /new/tmp
    cp /bin/busybox /new/bin && ln -s /bin/busybox /new/usr/bin/env
else
    mount -t tmpfs tmpfs /upper && mkdir /upper/data /upper/work
    mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /new ||
        fail 'the overlay cannot be mounted'
fi

mount -t proc proc /new/proc
mount -t sysfs sysfs /new/sys
mount -t debugfs debugfs /new/sys/kernel/debug
mount -t tracefs tracefs /new/sys/kernel/tracing
mount -t bpf bpf /new/sys/fs/bpf
mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
mount -t devtmpfs devtmpfs /new/dev
mkdir -p /new/dev/shm /new/dev/pts /new/dev/net /new/dev/hugepages
mount -t devpts -o ptmxmode=666 devpts /new/dev/pts
mount -t tmpfs tmpfs /new/dev/shm
mount -t hugetlbfs hugetlbfs /new/dev/hugepages 2>/dev/null
[ -e /new/dev/net/tun ] || mknod /new/dev/net/tun c 10 200
for name in fd:/proc/self/fd stdin:/proc/self/fd/0 stdout:/proc/self/fd/1 \
    stderr:/proc/self/fd/2; do
    [ -e "/new/dev/${name%%:*}" ] || ln -s "${name#*:}" "/new/dev/${name%%:*}"
done
mount -t tmpfs tmpfs /new/run
mount -t tmpfs -o mode=1777 tmpfs /new/tmp
mkdir -p /new/run/out /new/run/lock
mount -t 9p -o "$p9,rw,cache=none" out /new/run/out || fail 'the results cannot be mounted'
: > /new/run/out/.lab/booted

log=/new/run/out/log
if [ -n "$own_root" ]; then
    log=/dev/console
    while read -r file; do
        # By a program of the host's root, in which links lead to where they should.
        mkdir -p "/new${file%/*}" && chroot /lower /bin/busybox cat "$file" > "/new$file" ||
            fail "$file cannot be copied"
        chmod 755 "/new$file"
    done < /new/run/out/.lab/own_root
    umount /lower || fail 'the root is in use'
    # What is there already stays.
    chroot /new /bin/busybox --install -s /bin 2>/dev/null
fi

# The kernel loads what else it is asked for by itself, from the modules of its package.
mkdir -p /new/lib/modules
modules=$(cat /new/run/out/.lab/modules)
if [ -d "/lower/$modules" ]; then
    mkdir -p "/new/lib/modules/$(uname -r)"
    mount --bind "/lower/$modules" "/new/lib/modules/$(uname -r)"
    printf '#!/bin/busybox sh\nexec /bin/busybox chroot /new /sbin/modprobe "$@"\n' > /bin/load
    chmod 755 /bin/load
    echo /bin/load > /proc/sys/kernel/modprobe
fi
# What the host has in a place that is the machine's own, such as a build in /tmp.
[ -n "$own_root" ] || while read -r folder; do
    mkdir -p "/new$folder"
    mount --bind "/lower$folder" "/new$folder"
done < /new/run/out/.lab/keep
# Cards are told apart by their addresses.
while read -r mac name; do
    for card in /sys/class/net/*; do
        [ "$(cat "$card/address")" = "$mac" ] && ip link set dev "${card##*/}" name "$name"
    done
done < /new/run/out/.lab/cards

ip link set dev lo up
hostname "$(cat /new/run/out/.lab/name)"
ulimit -l unlimited
ulimit -n 1048576
chroot /new /usr/bin/env -i HOME=/root TERM=dumb \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /run/out/.lab/job < /dev/null > "$log" 2>&1
echo $? > /new/run/out/.lab/status
poweroff -f
