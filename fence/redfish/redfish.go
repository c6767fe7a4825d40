// Package redfish decides what a BMC says of the power of its server, by the
// Redfish API (DSP0266) as iDRAC, iLO and others speak it, or by the /rest/v1
// of iLO 4 before it. It refuses to take an accepted order for a done one, to
// choose among several systems, and to press a power button: it orders
// ForceOff and On, and only PowerState "Off" is off. A BMC lives on its
// server's power supplies, so it is silent when they are dead: keep a power
// switch beside it. Start reading at New, then system.Read.
package redfish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/http"
)

// Bounds of a conversation.
const (
	DefaultTimeout = 15 * time.Second // of one request: a BMC that has just started takes 10 s
	maxHops        = 3                // redirects that one request follows
	maxPages       = 4                // of a collection
	maxSystems     = 64
	meterTime      = 2 * time.Second // for a reading of the meter; iDRAC may take longer than the proof should
	maxMeterFaults = 3               // in a row; then the meter is left alone
)

// A Config describes one BMC.
type Config struct {
	Name     string // of the unit, for logs; Address if empty
	Address  string // "host[:port]"; https unless it starts with "http://"
	Timeout  time.Duration
	Trust    http.Trust
	User     string
	Password string
	Session  bool // log in for a token, and out in Close, instead of Basic in each request
}

// A Unit is one BMC.
type Unit struct {
	c      Config
	client *http.Client

	// All below belongs to who holds the client's turn.
	token, session string            // of the login; the path to delete
	legacy         bool              // it speaks /rest/v1
	paths          map[string]string // of systems, by selector
	meters         map[string]*meter // by path of the system
}

var _ fence.Unit = (*Unit)(nil)

// New returns the unit, or says what is wrong with the Config. It does no I/O.
func New(c Config) (*Unit, error) {
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	cc := http.ClientConfig{Address: c.Address, Scheme: "https", Timeout: c.Timeout, Trust: c.Trust}
	if !c.Session {
		cc.User, cc.Password, cc.Eager = c.User, c.Password, true
	}
	client, err := http.NewClient(cc)
	if err == nil && c.Session && c.User == "" {
		err = errors.New("a session needs a user")
	}
	if err != nil {
		return nil, fmt.Errorf("make redfish unit %q: %w", c.Name, err)
	}
	if c.Name == "" {
		c.Name = client.Host()
	}
	return &Unit{c: c, client: client, paths: map[string]string{}, meters: map[string]*meter{}}, nil
}

// Outlet returns the system with an id ("System.Embedded.1"), or the only one
// there is if the id is empty.
func (u *Unit) Outlet(selector string) (fence.Switch, error) {
	if strings.ContainsAny(selector, "?#\r\n ") {
		return nil, fmt.Errorf("outlet %q of %s: no id of a system", selector, u.c.Name)
	}
	return &system{u: u, id: selector}, nil
}

// List reads all systems.
func (u *Unit) List(ctx context.Context) (all []fence.Outlet, err error) {
	err = u.turn(ctx, func() error {
		paths, err := u.members(ctx)
		if err != nil {
			return err
		}
		for _, path := range paths {
			t, _, err := u.get(ctx, path)
			if err != nil {
				return err
			}
			o := fence.Outlet{Index: idOf(path), Name: t.At("HostName").Or("")}
			o.Reading, _ = u.reading(t) // unknown is shown as unknown
			all = append(all, o)
		}
		return nil
	})
	return all, err
}

// Identify tells of the only system.
func (u *Unit) Identify(ctx context.Context) (fence.Identity, error) {
	s := system{u: u}
	return s.Identify(ctx)
}

// Close logs out.
func (u *Unit) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), u.c.Timeout)
	defer cancel()
	if err := u.client.Begin(ctx); err != nil {
		return err
	}
	defer u.client.End()
	return u.logout(ctx)
}

// turn runs f alone at the BMC.
func (u *Unit) turn(ctx context.Context, f func() error) error {
	if err := u.client.Begin(ctx); err != nil {
		return err
	}
	defer u.client.End()
	return f()
}

// send sends one request, logged in if so configured.
func (u *Unit) send(ctx context.Context, r http.Request) (http.Answer, error) {
	if err := u.login(ctx); err != nil {
		return http.Answer{}, err
	}
	a, err := u.follow(ctx, r)
	if err != nil || a.Status != 401 || u.token == "" {
		return a, err
	}
	u.token, u.session = "", "" // it ran out
	if err := u.login(ctx); err != nil {
		return http.Answer{}, err
	}
	return u.follow(ctx, r)
}

// follow sends a request, and again where the BMC redirects it to, if that is
// at the BMC: iLO 5 wants a slash at the end of each path. An order is repeated
// only if the BMC says that nothing was done (307, 308).
func (u *Unit) follow(ctx context.Context, r http.Request) (http.Answer, error) {
	for hop := 0; ; hop++ {
		a, err := u.client.Do(ctx, u.dressed(r))
		moved := a.Status == 307 || a.Status == 308 || r.Method == "GET" && (a.Status == 301 || a.Status == 302)
		if err != nil || !moved {
			return a, err
		}
		to, err := u.client.Local(a.Header.Get("Location"))
		if err == nil && hop == maxHops {
			err = fmt.Errorf("more than %d redirects", maxHops)
		}
		if err != nil {
			return a, fmt.Errorf("%s %s: HTTP %d: %w", r.Method, r.Path, a.Status, err)
		}
		r.Path = to
	}
}

// dressed adds what every request has.
func (u *Unit) dressed(r http.Request) http.Request {
	header := map[string]string{"Accept": "application/json", "OData-Version": "4.0"} // without the latter iLO 4 speaks its own
	if u.token != "" {
		header["X-Auth-Token"] = u.token
	}
	if r.Body != "" {
		header["Content-Type"] = "application/json"
	}
	for name, value := range r.Header {
		header[name] = value
	}
	r.Header = header
	return r
}

// get reads a resource.
func (u *Unit) get(ctx context.Context, path string) (http.Tree, http.Answer, error) {
	a, err := u.send(ctx, http.Request{Method: "GET", Path: path})
	if err == nil {
		err = a.Expect(200)
	}
	var t http.Tree
	if err == nil {
		t, err = http.ParseTree(a.Body)
	}
	if err != nil {
		return http.Tree{}, a, fmt.Errorf("%s: %w", path, err)
	}
	return t, a, nil
}

// sessions are where a login may be posted: by the standard, and at iLO 4.
var sessions = []string{"/redfish/v1/SessionService/Sessions", "/redfish/v1/Sessions", "/rest/v1/Sessions"}

// login gets a token if one is wanted and there is none.
func (u *Unit) login(ctx context.Context) error {
	if !u.c.Session || u.token != "" {
		return nil
	}
	body, err := json.Marshal(map[string]string{"UserName": u.c.User, "Password": u.c.Password})
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	var a http.Answer
	for _, path := range sessions {
		if a, err = u.follow(ctx, http.Request{Method: "POST", Path: path, Body: string(body)}); err != nil || a.Status != 404 {
			break
		}
	}
	if err == nil {
		err = a.Expect(200, 201)
	}
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if u.token = a.Header.Get("X-Auth-Token"); u.token == "" {
		return errors.New("log in: the BMC gives no token")
	}
	// iLO gives a whole URL, with the name that it has for itself.
	if at, err := url.Parse(a.Header.Get("Location")); err == nil && strings.HasPrefix(at.Path, "/") {
		u.session = at.RequestURI()
	}
	return nil
}

func (u *Unit) logout(ctx context.Context) error {
	if u.token == "" || u.session == "" {
		u.token = ""
		return nil
	}
	a, err := u.follow(ctx, http.Request{Method: "DELETE", Path: u.session})
	if err == nil {
		err = a.Expect(200, 202, 204, 401, 404) // the last two: it has ended already
	}
	u.token, u.session = "", ""
	if err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}

// members returns the paths of all systems.
func (u *Unit) members(ctx context.Context) ([]string, error) {
	t, a, err := u.get(ctx, "/redfish/v1/Systems")
	u.legacy = false
	if err != nil && a.Status == 404 {
		var missing error
		if t, _, missing = u.get(ctx, "/rest/v1/Systems"); missing == nil {
			u.legacy, err = true, nil
		}
	}
	var paths []string
	for page := 0; err == nil; page++ {
		for _, link := range links(t, u.legacy) {
			path, err := u.client.Local(link)
			if err != nil {
				return nil, fmt.Errorf("find systems: %w", err)
			}
			paths = append(paths, path)
		}
		next := t.At("Members@odata.nextLink").Or("")
		if next == "" {
			break
		}
		if page == maxPages || len(paths) > maxSystems {
			return nil, fmt.Errorf("find systems: more than %d, or %d pages of them", maxSystems, maxPages)
		}
		t, _, err = u.get(ctx, next)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("find systems: %w", err)
	case len(paths) == 0:
		return nil, errors.New("find systems: the BMC has none")
	}
	return paths, nil
}

// links returns the members of a collection.
func links(t http.Tree, legacy bool) (out []string) {
	if !legacy {
		for _, m := range t.At("Members").List() {
			out = append(out, m.At("@odata.id").Or(""))
		}
		return out
	}
	for _, m := range t.At("links", "Member").List() {
		out = append(out, m.At("href").Or(""))
	}
	if len(out) > 0 {
		return out
	}
	for _, m := range t.At("Items").List() {
		out = append(out, m.At("links", "self", "href").Or(""))
	}
	return out
}

// idOf returns the id that a path ends with.
func idOf(path string) string {
	path, _, _ = strings.Cut(path, "?")
	path = strings.TrimRight(path, "/")
	id := path[strings.LastIndex(path, "/")+1:]
	if plain, err := url.PathUnescape(id); err == nil {
		return plain
	}
	return id
}
