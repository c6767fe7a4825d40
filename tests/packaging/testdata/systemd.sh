# The unit under a systemd of its own, as process 1 of these namespaces.
. "$(dirname "$0")/box.sh"
mount -t sysfs sysfs "$box/sys"
mount -t cgroup2 cgroup2 "$box/sys/fs/cgroup" || { echo "no cgroups" >"$1/verdict"; exit; }
for t in sysinit basic multi-user local-fs sockets timers paths graphical; do
	rm -rf "$box/lib/systemd/system/$t.target.wants" "$box/etc/systemd/system/$t.target.wants"
done
: >"$box/etc/fstab"
: >"$box/etc/machine-id"
try_dpkg -i /run/1.0.deb
configure
cp "$(dirname "$0")/systemd-inside.sh" "$box/inside.sh"
touch "$1/verdict" "$box/verdict"
mount --bind "$1/verdict" "$box/verdict"
cat >"$box/etc/systemd/system/inside.service" <<END
[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/bash /inside.sh
END
cat >"$box/etc/systemd/system/box.target" <<END
[Unit]
Wants=twinbeat.service inside.service
END
# As process 1 of a machine would; one of a container leaves it to its maker.
mount --make-rshared "$box"
exec chroot "$box" env -i container=lxc "PATH=$PATH" /lib/systemd/systemd --system --unit=box.target --show-status=0
