package lab

import "errors"

// ErrNoWall says that a box's wall clock cannot be stepped here.
var ErrNoWall = errors.New("step wall clock: not possible on this machine")
