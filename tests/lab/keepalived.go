package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Keepalived are the options of keepalived on one box, for comparison.
type Keepalived struct {
	Advert time.Duration // between two adverts; below 1 s needs VRRPv3
	VIPs   int
}

// text is keepalived.conf: VRRP on the heartbeat Ethernet, the addresses on
// the LAN, no preemption, and Debian's defaults for the rest.
func (k Keepalived) text(node int) string {
	var b strings.Builder
	version := 2
	if k.Advert < time.Second {
		version = 3
	}
	fmt.Fprintf(&b, "global_defs {\n  router_id fw%d\n  vrrp_version %d\n}\n", node+1, version)
	fmt.Fprintf(&b, "vrrp_instance lab {\n  state BACKUP\n  nopreempt\n  interface ha0\n  virtual_router_id 51\n")
	fmt.Fprintf(&b, "  priority %d\n  advert_int %.2f\n  virtual_ipaddress {\n    %s/%d dev eth0\n  }\n",
		101-node, k.Advert.Seconds(), VIP(0), lanPrefix)
	if k.VIPs > 1 {
		b.WriteString("  virtual_ipaddress_excluded {\n")
		for i := 1; i < k.VIPs; i++ {
			fmt.Fprintf(&b, "    %s/%d dev eth0\n", VIP(i), lanPrefix)
		}
		b.WriteString("  }\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// RunKeepalived starts keepalived on the box, in place of our agent. Kill,
// Stop and PowerOff then speak of it; to freeze it, use SignalAll, for it is
// two processes.
func (n *Node) RunKeepalived(k Keepalived) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	log, err := os.OpenFile(n.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := os.MkdirAll(n.dir+"/run", 0o700); err != nil {
		return err
	}
	conf := n.dir + "/keepalived.conf"
	if err := os.WriteFile(conf, []byte(k.text(n.Index)), 0o600); err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("rm -f %[1]s/run/*.pid; mount --bind %[1]s/run /run && exec keepalived -n -l -f %[2]s", n.dir, conf))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setsid: true}
	if err := n.Space.Start(cmd); err != nil {
		return fmt.Errorf("start keepalived of %s: %w", n.Name, err)
	}
	n.cmd, n.done = cmd, make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		err := cmd.Wait()
		n.mu.Lock()
		n.exited = err
		n.mu.Unlock()
		close(done)
	}(n.cmd, n.done)
	return nil
}
