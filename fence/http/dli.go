package http

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/twinbeat/twinbeat/fence"
)

// digitalLoggers speaks to Digital Loggers' switches: by REST, or, where there
// is none, by the pages for people. Outlets are numbered
// as on the case, from 1; REST counts from 0. Checked against the maker's REST
// page and recorded pages only.
type digitalLoggers struct {
	client         *Client
	user, password string
	mode           dliMode
	cookie         string // of the session at an old one
}

type dliMode uint8

const (
	dliUnasked dliMode = iota
	dliREST
	dliPages
)

func (d *digitalLoggers) word() string { return "of the outlet by HTTP (Digital Loggers)" }

// wantJSON keeps REST from answering HTML.
var wantJSON = map[string]string{"Accept": "application/json"}

// rest asks for one value of the tree.
func (d *digitalLoggers) rest(ctx context.Context, path string) (Tree, error) {
	return ask(ctx, d.client, Request{Path: "/restapi/relay/" + path + "/", Header: wantJSON})
}

// optional asks for a value that not every firmware has.
func (d *digitalLoggers) optional(ctx context.Context, path string) (Tree, error) {
	path = "/restapi/" + path
	a, err := d.client.Do(ctx, Request{Method: "GET", Path: path, Header: wantJSON})
	if err != nil || a.Status == 404 {
		return Tree{}, err
	}
	var t Tree
	if err = a.Expect(200); err == nil {
		t, err = ParseTree(a.Body)
	}
	if err != nil {
		return Tree{}, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// as finds out which way the device understands, and asks anew after an error.
func (d *digitalLoggers) as(ctx context.Context, rest, pages func() error) error {
	if d.mode == dliUnasked {
		a, err := d.client.Do(ctx, Request{Method: "GET", Path: "/restapi/relay/name/", Header: wantJSON})
		if err != nil {
			return err
		}
		_, noJSON := ParseTree(a.Body)
		switch {
		case a.Status == 200 && noJSON == nil:
			d.mode = dliREST
		case a.Status == 404 || a.Status == 200 || a.Status/100 == 3: // old ones show any path the login page
			d.mode = dliPages
		default:
			return a.Expect(200)
		}
	}
	do := rest
	if d.mode == dliPages {
		do = pages
	}
	err := do()
	if err != nil {
		d.mode, d.cookie = dliUnasked, ""
	}
	return err
}

func (d *digitalLoggers) set(ctx context.Context, n int, on bool) error {
	return d.as(ctx, func() error {
		a, err := d.client.Do(ctx, Request{
			Method: "PUT", Path: fmt.Sprintf("/restapi/relay/outlets/%d/state/", n-1), Body: fmt.Sprintf("value=%t", on),
			Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "X-CSRF": "x", "Accept": "application/json"},
		})
		if err == nil {
			err = a.Expect(200, 204)
		}
		return err
	}, func() error {
		word := map[bool]string{true: "ON", false: "OFF"}[on]
		_, err := d.page(ctx, fmt.Sprintf("/outlet?%d=%s", n, word))
		return err
	})
}

func (d *digitalLoggers) read(ctx context.Context, n int) (r fence.Reading, err error) {
	err = d.as(ctx, func() error {
		r, err = d.physical(ctx, n)
		return err
	}, func() error {
		p, err := d.index(ctx)
		if err != nil {
			return err
		}
		if n > len(p.outlets) {
			return fmt.Errorf("%w: the page shows %d", fence.ErrNoOutlet, len(p.outlets))
		}
		r = p.outlets[n-1].Reading
		return nil
	})
	return r, err
}

// physical reads the relay itself. What it is told to be may differ for a
// while: a delay, or a cycle that has it off for some seconds.
func (d *digitalLoggers) physical(ctx context.Context, n int) (fence.Reading, error) {
	base := fmt.Sprintf("outlets/%d/", n-1)
	is, err := d.rest(ctx, base+"physical_state")
	if err != nil {
		return fence.Reading{}, err
	}
	told, err := d.rest(ctx, base+"state")
	if err != nil {
		return fence.Reading{}, err
	}
	soon, err := d.optional(ctx, "relay/"+base+"transient_state/")
	if err != nil {
		return fence.Reading{}, err
	}
	r := fence.Reading{Raw: fmt.Sprintf("physical_state %v, state %v, transient_state %v", is, told, soon)}
	on, ok := is.Bool()
	want, ok2 := told.Bool()
	if !ok || !ok2 {
		return r, fmt.Errorf("%s: neither true nor false", r.Raw)
	}
	r.Pending = fence.PendingNone
	if next, ok := soon.Bool(); want != on || next != on && ok {
		r.Pending = fence.PendingYes
	}
	r.Power = power(on)
	return r, nil
}

func (d *digitalLoggers) list(ctx context.Context) (all []fence.Outlet, err error) {
	err = d.as(ctx, func() error {
		const path = "/restapi/relay/outlets/all;/=name,physical_state/"
		a, err := d.client.Do(ctx, Request{Method: "GET", Path: path, Header: wantJSON})
		if err == nil {
			err = a.Expect(200, 207)
		}
		if err != nil {
			return err
		}
		t, err := ParseTree(a.Body)
		if err != nil {
			return err
		}
		values := t.List() // name, state, name, state ...
		if len(values) == 0 || len(values)%2 != 0 || len(values) > 2*maxOutlet {
			return fmt.Errorf("%s: it answers %v", path, t)
		}
		for i := 0; i < len(values); i += 2 {
			o := fence.Outlet{Index: strconv.Itoa(i/2 + 1), Name: values[i].Or("")}
			o.Raw = fmt.Sprintf("physical_state %v", values[i+1])
			if on, ok := values[i+1].Bool(); ok {
				o.Power = power(on)
			}
			all = append(all, o)
		}
		return nil
	}, func() error {
		p, err := d.index(ctx)
		all = p.outlets
		return err
	})
	return all, err
}

func (d *digitalLoggers) identify(ctx context.Context) (id fence.Identity, all []fence.Outlet, err error) {
	err = d.as(ctx, func() error {
		id = fence.Identity{Family: "digitalloggers-rest"}
		// Which of these there are differs by firmware; 404 is no error.
		for path, to := range map[string]*string{"relay/model/": &id.Model, "config/version/": &id.Firmware, "config/serial/": &id.Serial} {
			t, err := d.optional(ctx, path)
			if err != nil {
				return err
			}
			*to = t.Or("")
		}
		return nil
	}, func() error {
		p, err := d.index(ctx)
		id = fence.Identity{Family: "digitalloggers-page", Serial: p.serial, Firmware: p.version}
		return err
	})
	if err != nil {
		return fence.Identity{}, nil, err
	}
	all, err = d.list(ctx)
	id.Outlets = len(all)
	return id, all, err
}

func (d *digitalLoggers) warnings(ctx context.Context, n int) (out []string, err error) {
	err = d.as(ctx, func() error {
		locked, err := d.rest(ctx, fmt.Sprintf("outlets/%d/locked", n-1))
		if err != nil {
			return err
		}
		if yes, _ := locked.Bool(); yes {
			out = append(out, "locked: it obeys no command")
		}
		return nil
	}, func() error {
		p, err := d.index(ctx)
		if err == nil && p.locked&(1<<(n-1)) != 0 {
			out = append(out, "locked: it obeys no command")
		}
		return err
	})
	return out, err
}

// page gets a page of an old one: with Basic, or as the login form wants it.
func (d *digitalLoggers) page(ctx context.Context, path string) (string, error) {
	for try := 0; ; try++ {
		r := Request{Method: "GET", Path: path}
		if d.cookie != "" {
			r.Header = map[string]string{"Cookie": d.cookie}
		}
		a, err := d.client.Do(ctx, r)
		if err == nil {
			err = a.Expect(200)
		}
		if err != nil {
			return "", err
		}
		text := string(a.Body)
		if !strings.Contains(text, `NAME="login"`) && !strings.Contains(text, "/login.tgi") {
			return text, nil
		}
		if try > 0 || d.user == "" {
			return "", errors.New("the device shows its login page: it refuses user or password")
		}
		if err := d.login(ctx, text); err != nil {
			return "", err
		}
	}
}

// login answers the form as its script does: MD5 over challenge, user,
// password and challenge.
func (d *digitalLoggers) login(ctx context.Context, form string) error {
	if !strings.Contains(form, `name="Challenge"`) { // it is on the first page alone
		a, err := d.client.Do(ctx, Request{Method: "GET", Path: "/"})
		if err != nil {
			return err
		}
		form = string(a.Body)
	}
	_, after, found := strings.Cut(form, `name="Challenge"`)
	_, after, found2 := strings.Cut(after, `value="`)
	word, _, found3 := strings.Cut(after, `"`)
	if !found || !found2 || !found3 || word == "" || len(word) > maxShown {
		return errors.New("the login page holds no challenge")
	}
	sum := md5.Sum([]byte(word + d.user + d.password + word))
	a, err := d.client.Do(ctx, Request{
		Method: "POST", Path: "/login.tgi",
		Body:   url.Values{"Username": {d.user}, "Password": {hex.EncodeToString(sum[:])}}.Encode(),
		Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
	})
	if err == nil {
		err = a.Expect(200, 302)
	}
	if err != nil {
		return err
	}
	for _, c := range (&nethttp.Response{Header: a.Header}).Cookies() {
		if c.Name == "DLILPC" && c.Value != "" {
			d.cookie = "DLILPC=" + c.Value
			return nil
		}
	}
	return errors.New("log in: the device gives no session")
}

func (d *digitalLoggers) index(ctx context.Context) (dliPage, error) {
	text, err := d.page(ctx, "/index.htm")
	if err != nil {
		return dliPage{}, err
	}
	p, err := parseDLI(text)
	if err != nil {
		return dliPage{}, fmt.Errorf("/index.htm: %w", err)
	}
	return p, nil
}

// A dliPage is what the page with all outlets shows.
type dliPage struct {
	outlets         []fence.Outlet
	locked          uint64
	serial, version string
}

// parseDLI reads the rows of the outlets. The page says each state twice, as a
// word and, since some firmware, as a bit in a comment; both must agree. A page
// that is cut off, or whose rows are not 1, 2, 3 and so on, has no outlets.
func parseDLI(text string) (dliPage, error) {
	var p dliPage
	if !strings.Contains(strings.ToLower(text), "</html>") {
		return p, errors.New("the page is cut off")
	}
	bits, hasBits, err := dliBits(text, &p)
	if err != nil {
		return p, err
	}
	const head = "<td align=center>"
	rest := text
	for {
		_, after, found := strings.Cut(rest, head)
		if !found {
			break
		}
		rest = after
		row, _, _ := strings.Cut(rest, "</tr>")
		number, cells, _ := strings.Cut(row, "</td>")
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil {
			continue // another table's
		}
		if n != len(p.outlets)+1 || n > maxOutlet {
			return p, fmt.Errorf("row %d comes after row %d", n, len(p.outlets))
		}
		o := dliRow(n, cells)
		if on := o.Power == fence.PowerOn; hasBits && o.Power != fence.PowerUnknown && on != (bits&(1<<(n-1)) != 0) {
			o.Power = fence.PowerUnknown
			o.Raw += fmt.Sprintf(", but the comment says state=%02x", bits)
		}
		if o.Power == fence.PowerUnknown {
			return p, fmt.Errorf("outlet %d: %s", n, o.Raw)
		}
		p.outlets = append(p.outlets, o)
	}
	if len(p.outlets) == 0 {
		return p, errors.New("the page shows no outlet")
	}
	p.serial = between(text, "S/N:", "<")
	p.version, _, _ = strings.Cut(between(text, "<small>Version ", "<"), " ")
	return p, nil
}

// dliBits reads the comment <!-- state=ff lock=00 -->, bit 0 of outlet 1.
func dliBits(text string, p *dliPage) (bits uint64, found bool, err error) {
	_, after, found := strings.Cut(text, "<!-- state=")
	if !found {
		return 0, false, nil
	}
	state, after, _ := strings.Cut(after, " lock=")
	lock, _, _ := strings.Cut(after, " -->")
	if bits, err = strconv.ParseUint(state, 16, 64); err == nil {
		p.locked, err = strconv.ParseUint(lock, 16, 64)
	}
	if err != nil {
		return 0, false, errors.New("the comment with the states cannot be read")
	}
	return bits, true, nil
}

// dliRow reads the cells behind the number: name, state in bold and colour,
// and the link that would switch it the other way, which must fit.
func dliRow(n int, cells string) fence.Outlet {
	o := fence.Outlet{Index: strconv.Itoa(n)}
	o.Name = strings.TrimSpace(between(cells, "<td>", "</td>"))
	_, after, _ := strings.Cut(cells, "<font")
	state := strings.TrimSpace(between(after, ">", "<"))
	on := strings.Contains(cells, fmt.Sprintf("outlet?%d=OFF", n))
	off := strings.Contains(cells, fmt.Sprintf("outlet?%d=ON", n))
	o.Raw = fmt.Sprintf("state %s", Shown([]byte(state)))
	switch {
	case state == "ON" && on && !off:
		o.Power = fence.PowerOn
	case state == "OFF" && off && !on:
		o.Power = fence.PowerOff
	}
	return o
}

// between returns what lies between the first start and the next end, if both
// are there and not too far apart.
func between(text, start, end string) string {
	_, after, _ := strings.Cut(text, start)
	s, _, found := strings.Cut(after, end)
	if !found || len(s) > maxShown {
		return ""
	}
	return s
}
