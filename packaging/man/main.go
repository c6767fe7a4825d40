// Command man writes the manual pages: twinbeat(8) from the help of the commands
// and twinbeat.toml(5) from reference.toml, which the parser's own table makes.
// It holds no fact of its own but where files lie.
//
//	go run ./packaging/man -date 2026-11-22 -version v1.0 -out dist/man
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/twinbeat/twinbeat/agent/cli"
)

func main() {
	date := flag.String("date", "", "`DAY` of the pages, as 2026-11-22")
	version := flag.String("version", "dev", "`VERSION` of the program")
	out := flag.String("out", "dist/man", "write to this `FOLDER`")
	reference := flag.String("reference", "reference.toml", "`FILE` that documents every key")
	flag.Parse()
	if err := write(*out, *reference, *date, *version); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func write(out, reference, date, version string) error {
	text, err := os.ReadFile(reference)
	if err != nil {
		return err
	}
	keys, err := configuration(string(text), date, version)
	if err != nil {
		return fmt.Errorf("%s: %w", reference, err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for name, page := range map[string]string{"twinbeat.8": program(cli.Manual(), date, version), "twinbeat.toml.5": keys} {
		if err := os.WriteFile(filepath.Join(out, name), []byte(page), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// program is twinbeat(8).
func program(pages []cli.Page, date, version string) string {
	var r roff
	r.title("TWINBEAT", "8", date, version, "System Manager's Manual")
	r.section("NAME")
	r.raw("twinbeat \\- keep one of two boxes in service\n")
	r.section("SYNOPSIS")
	r.raw(".B twinbeat\n.I COMMAND\n.RI [ FLAGS ]\n")
	r.section("DESCRIPTION")
	r.text("An agent on each of two router or firewall boxes beats over a null-modem cable and Ethernet, moves addresses and " +
		"services when a box dies, and never lets both be active. twinbeat run is the agent; the other commands ask or order the " +
		"agent on this box, or work without one. What the pair consists of stands in one file, the same on both boxes: twinbeat.toml(5).")
	r.section("COMMANDS")
	for _, p := range pages {
		r.command(p)
	}
	r.section("EXIT STATUS")
	for _, code := range [][2]string{
		{"0", "well; of fence commands: proven"},
		{"1", "it could not be done, or is not known to be done"},
		{"2", "the command line makes no sense; nothing was done"},
		{"3", "the answer is complete, and one more fault could cost the service, or did"},
		{"4", "fence: refused, nothing was sent"},
		{"5", "fence: it was sent, but the power is not known to be as asked"},
		{"6", "fence: no device answered; what was sent may act all the same"},
	} {
		r.item(code[0], code[1])
	}
	r.section("FILES")
	for _, file := range [][2]string{
		{"/etc/twinbeat/twinbeat.toml", "configuration, the same on both nodes"},
		{"/etc/twinbeat/keys", "keys of the pair, mode 0600, the same on both nodes"},
		{"/var/lib/twinbeat", "journal: what survives a reboot, events, what was done with the power"},
		{"/run/twinbeat.sock", "control socket of the agent"},
	} {
		r.item(file[0], file[1])
	}
	r.section("SEE ALSO")
	r.raw(".BR twinbeat.toml (5)\n")
	return r.String()
}
