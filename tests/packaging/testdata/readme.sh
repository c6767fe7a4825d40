# Two Debian boxes that have nothing of twinbeat, and a client on their LAN. Runs
# the steps that the test took from README: DIR/steps has lines "BOX COMMAND",
# DIR/answers what is typed at init. Arguments: DIR DEB TTY1 TTY2.
set -eu
here=$1 deb=$2
mkdir "$here/disk"
mount -t tmpfs tmpfs "$here/disk"
umask 022

# make_box N TTY: this machine's root under an overlay, and a kernel's namespaces.
make_box() {
	d=$here/disk/$1 box=$here/disk/$1/root
	mkdir -p "$d/upper" "$d/work" "$box"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$d/upper,workdir=$d/work" "$box"
	unshare --net --uts sleep 1000 &
	echo $! >"$d/pid"
	mount -t tmpfs tmpfs "$box/run"
	mount -t tmpfs tmpfs "$box/tmp"
	mount -t proc proc "$box/proc"
	mount -t tmpfs -o mode=755 tmpfs "$box/dev"
	for f in null zero full random urandom tty; do
		touch "$box/dev/$f"
		mount --bind "/dev/$f" "$box/dev/$f"
	done
	mkdir "$box/dev/shm" "$box/run/lock" "$box/run/sshd"
	touch "$box/dev/ttyS1"
	mount --bind "$(readlink -f "$2")" "$box/dev/ttyS1"
	rm -rf "$box/usr/sbin/policy-rc.d" "$box/etc/twinbeat" "$box/var/lib/twinbeat"
	rm -f "$box/sbin/runlevel"
	printf '#!/bin/sh\necho N 2\n' >"$box/sbin/runlevel"
	chmod 755 "$box/sbin/runlevel"
	for f in etc usr; do cp -a "/var/cache/twinbeat-tests/dnsmasq/$f/." "$box/$f/"; done
	chroot "$box" update-rc.d dnsmasq defaults >/dev/null # as its package does
	cp "$deb" "$box/root/twinbeat_0_all.deb"
	printf '127.0.0.1 localhost\n192.0.2.11 fw1\n192.0.2.12 fw2\n192.0.2.77 who-serves\n' >"$box/etc/hosts"
	echo "no-resolv" >"$box/etc/dnsmasq.conf"
	tries=50
	until [ "$(readlink "/proc/$(cat "$d/pid")/ns/uts")" != "$(readlink /proc/self/ns/uts)" ]; do
		tries=$((tries - 1))
		[ $tries -gt 0 ]
		sleep 0.1
	done
	inside "$1" hostname "fw$1"
	inside "$1" mount -t sysfs sysfs "$box/sys"
}
inside() { n=$1; shift; nsenter -t "$(cat "$here/disk/$n/pid")" --net --uts "$@"; }
in_box() {
	n=$1
	shift
	inside "$n" chroot "$here/disk/$n/root" sh -c "cd /root && $*"
}
fail() {
	echo "FAILED: $*"
	for n in 1 2; do
		echo "fw$n:"
		in_box $n "twinbeat check 2>&1 | head -5; twinbeat status 2>&1; twinbeat events -n 30 2>&1 | tail -30" || true
	done
	exit 1
}
wait_for() {
	left=$(($1 * 5))
	shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || fail "never: $*"
		sleep 0.2
	done
}
serves() { ping -c 1 -W 1 192.0.2.1 && ping -6 -c 1 -W 1 2001:db8::1 && busybox nslookup who-serves 192.0.2.1 | grep 192.0.2.77; }
state() { in_box "$1" "twinbeat status --json" | grep -q "\"state\":\"$2\""; }

make_box 1 "$3"
make_box 2 "$4"

# The wires: a switch with a client, and a cable between the boxes.
ip link set lo up
ip link add lan type bridge
ip link set lan up
ip address add 192.0.2.100/24 dev lan
ip -6 address add 2001:db8::100/64 dev lan nodad
ip link add eth2 netns "$(cat "$here/disk/1/pid")" type veth peer name eth2 netns "$(cat "$here/disk/2/pid")"
for n in 1 2; do
	ip link add "port$n" type veth peer name eth0 netns "$(cat "$here/disk/$n/pid")"
	ip link set "port$n" master lan up
	for i in lo eth0 eth2; do inside $n ip link set $i up; done
	inside $n ip address add "192.0.2.1$n/24" dev eth0
	inside $n ip -6 address add "2001:db8::1$n/64" dev eth0 nodad
	inside $n ip address add "10.255.0.$n/30" dev eth2
done

# Root on fw1 may log in on fw2, as the operator may.
in_box 1 "mkdir -p -m 700 .ssh && rm -f .ssh/id_ed25519 && ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519 && echo StrictHostKeyChecking accept-new >.ssh/config"
in_box 2 "mkdir -p -m 700 .ssh && ssh-keygen -A >/dev/null"
cp "$here/disk/1/root/root/.ssh/id_ed25519.pub" "$here/disk/2/root/root/.ssh/authorized_keys"
in_box 2 "exec /usr/sbin/sshd -D -o UsePAM=no -o StrictModes=no -o ListenAddress=192.0.2.12" &
wait_for 20 in_box 1 "ssh -o BatchMode=yes root@fw2 true"

while read -r n command <&3; do
	echo "fw$n# $command"
	case $command in
	"twinbeat init") in_box "$n" "$command" <"$here/answers" || fail "$command" ;;
	"twinbeat status") wait_for 60 serves; wait_for 20 state 2 ARMED; in_box "$n" "$command" || fail "$command" ;;
	*) in_box "$n" "$command" </dev/null || fail "$command" ;;
	esac
done 3<"$here/steps"
cp "$here/disk/2/root/etc/twinbeat/twinbeat.toml" "$here/made.toml"
[ "$(stat -c %a "$here/disk/2/root/etc/twinbeat/keys")" = 600 ] || fail "the mode of the key on fw2"
state 1 ACTIVE || fail "fw1 does not own the group"

# What it is for: fw1 loses its power, fw2 serves.
ip link set port1 down
inside 1 ip link set eth2 down
kill -9 "$(cat "$here/disk/1/root/run/twinbeat.pid")"
wait_for 30 state 2 ACTIVE
wait_for 20 serves
in_box 2 "/etc/init.d/twinbeat stop"
echo well
