package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// siteName is the name that the client asks the pair's dnsmasq for.
const siteName = "www.demo.test"

// daemons are the services of the demo, in the order of their start.
var daemons = []string{"dnsmasq", "lighttpd"}

// sbin is where they are, also for a user whose PATH does not know it.
const sbin = "/usr/sbin/"

// missingPackages names the daemons that this machine has not.
func missingPackages() []string {
	var out []string
	for _, d := range daemons {
		if _, err := exec.LookPath(sbin + d); err != nil {
			out = append(out, d)
		}
	}
	return out
}

// present is the daemons that this machine has.
func present() []string {
	missing := strings.Join(missingPackages(), " ")
	var out []string
	for _, d := range daemons {
		if !strings.Contains(missing, d) {
			out = append(out, d)
		}
	}
	return out
}

// serviceLines is their part of the pair's configuration. They are bound to
// the address of the group, so that only its owner can start them.
func serviceLines() string {
	var b strings.Builder
	b.WriteString("flap_max = 0\n") // a demo is nothing but moves
	for _, d := range present() {
		fmt.Fprintf(&b, "\n[[group.service]]\nname = %q\ndriver = \"command\"\non_take = \"restart\"\n", d)
		for _, verb := range []string{"start", "stop", "status"} {
			fmt.Fprintf(&b, "%s = [\"/bin/sh\", \"/run/service\", %q, %q]\n", verb, d, verb)
		}
		b.WriteString("check_interval = \"1s\"\n")
	}
	return b.String()
}

// serviceScript is /run/service of each box. A process id in a file may long
// be another's, therefore the look at the name.
const serviceScript = `name=$1 file=/run/$1.pid
pid=$(cat "$file" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$name" ] || pid=
case $2 in
start) [ -n "$pid" ] && exit 0
  case $name in
  dnsmasq) exec /usr/sbin/dnsmasq --conf-file=/run/dnsmasq.conf ;;
  lighttpd) exec /usr/sbin/lighttpd -f /run/lighttpd.conf ;;
  esac ;;
stop) [ -z "$pid" ] || kill -9 "$pid" ;;
status) [ -n "$pid" ] || exit 3 ;;
esac
`

// installServices writes what a box has on its disk. A box's /run is its own.
func installServices(run, node string, vip netip.Addr) error {
	files := map[string]string{
		"service":        serviceScript,
		"dnsmasq.conf":   dnsmasqConf(vip),
		"lighttpd.conf":  lighttpdConf(vip),
		"www/index.html": node + "\n",
	}
	for name, text := range files {
		path := filepath.Join(run, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// clearRun forgets the daemons of before the power went, as a boot does.
func clearRun(run string) {
	for _, d := range daemons {
		_ = os.Remove(filepath.Join(run, d+".pid"))
	}
}

func dnsmasqConf(vip netip.Addr) string {
	return strings.Join([]string{
		"listen-address=" + vip.String(),
		"except-interface=lo",
		"bind-interfaces", // on this address and no other
		"no-resolv", "no-hosts", "no-poll",
		"user=root", "group=", // a user namespace has nobody else, and lets no group be set
		"pid-file=/run/dnsmasq.pid",
		"log-facility=/run/dnsmasq.log",
		"host-record=" + siteName + "," + vip.String(),
	}, "\n") + "\n"
}

func lighttpdConf(vip netip.Addr) string {
	return fmt.Sprintf(`server.bind = %q
server.port = 80
server.document-root = "/run/www"
server.pid-file = "/run/lighttpd.pid"
server.errorlog = "/run/lighttpd.log"
index-file.names = ("index.html")
`, vip)
}

// runDir is where a box's /run is seen from outside of it.
func runDir(l *lab.Lab, n *lab.Node) string { return filepath.Join(l.Dir, n.Name, "run") }
