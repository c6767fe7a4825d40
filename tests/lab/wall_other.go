//go:build !amd64

package lab

import "time"

// StepWall is for amd64 only: it writes machine code.
func (n *Node) StepWall(time.Duration) error { return ErrNoWall }
