package ssh

import (
	"context"
	"errors"
	"fmt"

	"github.com/twinbeat/twinbeat/fence"
	"golang.org/x/crypto/ssh"
)

// A Node is a box that is asked to switch itself off.
type Node struct{ host *host }

var (
	_ fence.Unit       = (*Node)(nil)
	_ fence.Switch     = node{}
	_ fence.Identifier = node{}
	_ fence.Grader     = node{}
)

// New returns the Node, or says what is wrong with the Config. It does no I/O.
func New(c Config) (*Node, error) {
	if c.Command == "" {
		c.Command = DefaultCommand
	}
	h, err := newHost(c)
	if err != nil {
		return nil, err
	}
	return &Node{h}, nil
}

// Outlet returns the box: the selector is "1" or empty.
func (n *Node) Outlet(selector string) (fence.Switch, error) {
	if selector != "" && selector != Box {
		return nil, fmt.Errorf("outlet %q of %s: by ssh there is one box, outlet %q", selector, n.host.config.Name, Box)
	}
	return node{n.host}, nil
}

// List reads the one box.
func (n *Node) List(ctx context.Context) ([]fence.Outlet, error) {
	r, err := node{n.host}.Read(ctx)
	if err != nil {
		return nil, err
	}
	return []fence.Outlet{{Index: Box, Reading: r}}, nil
}

// Identify says which host key the box has, and its version of ssh.
func (n *Node) Identify(ctx context.Context) (fence.Identity, error) {
	return node{n.host}.Identify(ctx)
}

// Close does nothing: every operation closes its own connection.
func (n *Node) Close() error { return nil }

// A node is the fence.Switch of a Node.
type node struct{ host *host }

// Name returns the name and outlet.
func (n node) Name() string { return n.host.config.Name + ":" + Box }

// Word says whose word it is.
func (n node) Word() string { return "of the box itself, which was asked by ssh" }

// BestGrade says that this never proves anything.
func (n node) BestGrade() fence.Grade { return fence.GradeWeak }

// SwitchOff runs the command. A box that obeys closes no connection in order,
// so a connection that ends without an exit code is no error.
func (n node) SwitchOff(ctx context.Context) error {
	return n.host.with(ctx, "power off by ssh", func(client *ssh.Client) error {
		out, err := execute(client, n.host.config.Command)
		var gone *ssh.ExitMissingError
		if errors.As(err, &gone) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w: %s", n.host.config.Command, err, shown(out))
		}
		return nil
	})
}

// SwitchOn is not possible.
func (n node) SwitchOn(context.Context) error {
	return errors.New("a box that is off cannot be switched on by ssh")
}

// Read logs in, and no more: a box that lets us in is on. That one does not may
// have any reason, so off is never read.
func (n node) Read(ctx context.Context) (fence.Reading, error) {
	err := n.host.with(ctx, "log in", func(*ssh.Client) error { return nil })
	if err != nil {
		return fence.Reading{}, err
	}
	return fence.Reading{Power: fence.PowerOn, Raw: "it answers by ssh"}, nil
}

// Identify logs in; the host key is the one that was given.
func (n node) Identify(ctx context.Context) (fence.Identity, error) {
	id := fence.Identity{Family: "ssh", Outlets: 1, Outlet: Box}
	err := n.host.with(ctx, "identify", func(client *ssh.Client) error {
		id.Firmware = string(client.ServerVersion())
		return nil
	})
	if err != nil {
		return fence.Identity{}, err
	}
	return id, nil
}
