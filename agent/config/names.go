package config

import (
	"path"
	"strings"
)

// maxName bounds the names of clusters, groups, services and devices: they
// stand in status lines of 80 columns.
const maxName = 32

// isName accepts lower-case names that need no quoting anywhere.
func isName(s, punctuation string) bool {
	return s != "" && len(s) <= maxName && onlyOf(s, "abcdefghijklmnopqrstuvwxyz0123456789"+punctuation)
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// isHostName accepts what sethostname(2) allows and DNS could know: 64 bytes.
func isHostName(s string) bool {
	return s != "" && len(s) <= 64 && onlyOf(s, alphanumeric+".-_") && !strings.HasPrefix(s, "-")
}

// isUnit accepts the names of systemd.unit(5): no glob, which systemctl would
// expand, no template without its instance, no leading dash, which would be
// read as an option.
func isUnit(s string) bool {
	template, instance, isInstance := strings.Cut(s, "@")
	if isInstance && (template == "" || instance == "" || instance[0] == '.' || strings.Contains(instance, "@")) {
		return false
	}
	return s != "" && len(s) <= 255 && s[0] != '-' && onlyOf(s, alphanumeric+":_.-\\@")
}

// isScript accepts a name or a clean full path.
func isScript(s string) bool {
	if s == "" || s[0] == '-' || s == "." || s == ".." || strings.ContainsAny(s, "\x00\n\t ") {
		return false
	}
	return !strings.Contains(s, "/") || path.IsAbs(s) && path.Clean(s) == s
}

// isService accepts what every init system takes for the name of a service.
func isService(s string) bool { return isUnit(s) && s[0] != '.' && !strings.Contains(s, "\\") }

// isOCF accepts [ocf:]PROVIDER:AGENT or a clean full path.
func isOCF(s string) bool {
	if strings.Contains(s, "/") {
		return isScript(s)
	}
	provider, agent, ok := strings.Cut(strings.TrimPrefix(s, "ocf:"), ":")
	return ok && isService(provider) && isService(agent) && !strings.Contains(agent, ":")
}

// maxDevice is IFNAMSIZ less its final zero; a label has the same room.
const maxDevice = 15

// isDevice accepts what dev_valid_name of the kernel's net/core/dev.c does.
func isDevice(s string) (hint string, ok bool) {
	switch {
	case s == "":
		return "the name of a network interface, such as eth0", false
	case len(s) > maxDevice:
		return "the kernel allows 15 bytes", false
	case s == "." || s == ".." || strings.ContainsAny(s, "/: \t\n\r\v\f\x00"):
		return "no slash, colon or blank in an interface's name", false
	}
	return "", true
}

// isTTY accepts the full path of a terminal device.
func isTTY(s string) (hint string, ok bool) {
	if len(s) < 2 || s[0] != '/' || strings.ContainsAny(s, " \t\n\r\x00") {
		return "the full path of a serial device, such as /dev/ttyS0", false
	}
	return "", true
}

func onlyOf(s, set string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(set, r) }) < 0
}
