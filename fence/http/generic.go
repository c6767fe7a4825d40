package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/twinbeat/twinbeat/fence"
)

// placeholder stands for the selector in URLs, bodies and matches.
const placeholder = "{outlet}"

// generic has one URL each for off, on and status.
type generic struct {
	client          *Client
	off, on, status string // paths
	c               Config
	header          map[string]string
	several         bool // the URLs name the outlet

	mu        sync.Mutex
	selectors []string // of the outlets that were asked for
}

// newGeneric checks the URLs, and returns the address that all of them have.
func newGeneric(c Config) (*generic, string, error) {
	g := &generic{c: c, header: map[string]string{}}
	address := c.Address
	for _, u := range []struct {
		what, text string
		to         *string
	}{{"off", c.OffURL, &g.off}, {"on", c.OnURL, &g.on}, {"status", c.StatusURL, &g.status}} {
		host, path, err := split(u.text)
		switch {
		case u.text == "" && u.what == "on":
			continue // it then never switches on
		case err != nil:
			return nil, "", fmt.Errorf("%s URL %q: %w", u.what, u.text, err)
		case address == "":
			address = host
		case host != "" && strings.TrimPrefix(host, "http://") != strings.TrimPrefix(address, "http://"):
			return nil, "", fmt.Errorf("%s URL %q is not of %s", u.what, u.text, address)
		}
		*u.to = path
	}
	named := func(path, body string) bool { return strings.Contains(path+body, placeholder) }
	status := strings.Contains(g.status+c.OffMatch, placeholder)
	g.several = named(g.off, c.OffBody)
	switch {
	case g.several != status || g.on != "" && named(g.on, c.OnBody) != status:
		return nil, "", fmt.Errorf("%s must be in all of the URLs, or in none: one outlet would answer for another", placeholder)
	case c.OffMatch == "" || c.OnMatch == "":
		return nil, "", errors.New("it has no off match or no on match, and off is proven by nothing else")
	case c.OffMatch == c.OnMatch:
		return nil, "", fmt.Errorf("on and off both match %q", c.OffMatch)
	case strings.HasPrefix(c.OffMatch, "/") != strings.HasPrefix(c.OnMatch, "/"):
		return nil, "", errors.New("one match is a JSON pointer, the other is not")
	}
	for _, line := range c.Headers {
		name, value, found := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !found || name != token(name) || name == "" || strings.ContainsAny(value, "\r\n") {
			return nil, "", errors.New(`a header is not "Name: value"`) // it may be a secret: not shown
		}
		g.header[name] = strings.TrimSpace(value)
	}
	if g.c.Method == "" {
		g.c.Method = nethttp.MethodGet
	}
	if g.c.Method != token(g.c.Method) {
		return nil, "", fmt.Errorf("%q is no method", g.c.Method)
	}
	return g, address, nil
}

// split cuts "http://host/path?query" into "http://host" and the rest.
func split(text string) (host, path string, err error) {
	if text == "" {
		return "", "", errors.New("it is missing")
	}
	if strings.HasPrefix(text, "/") {
		return "", text, nil
	}
	u, err := url.Parse(strings.ReplaceAll(text, placeholder, "0"))
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return "", "", errors.New("neither a path nor http://host/path")
	}
	host = u.Scheme + "://" + u.Host
	path = strings.TrimPrefix(text, host)
	if !strings.HasPrefix(path, "/") {
		return "", "", errors.New("it has no path")
	}
	return host, path, nil
}

// add gives a selector an index.
func (g *generic) add(selector string) (int, error) {
	if !g.several && selector != "1" {
		return 0, fmt.Errorf("the URLs have no %s, so there is only outlet \"1\"", placeholder)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.selectors, selector); i >= 0 {
		return i, nil
	}
	if len(g.selectors) == maxOutlet {
		return 0, fmt.Errorf("more than %d outlets", maxOutlet)
	}
	g.selectors = append(g.selectors, selector)
	return len(g.selectors) - 1, nil
}

func (g *generic) selector(n int) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.selectors[n]
}

func (g *generic) word() string { return "of the status URL by HTTP" }

func (g *generic) path(text string, n int) string {
	return strings.ReplaceAll(text, placeholder, url.PathEscape(g.selector(n)))
}

func (g *generic) set(ctx context.Context, n int, on bool) error {
	path, body := g.off, g.c.OffBody
	if on {
		path, body = g.on, g.c.OnBody
	}
	if path == "" {
		return errors.New("no on URL is configured")
	}
	a, err := g.client.Do(ctx, Request{
		Method: g.c.Method, Path: g.path(path, n), Body: strings.ReplaceAll(body, placeholder, g.selector(n)), Header: g.header,
	})
	if err != nil {
		return err
	}
	if a.Status < 200 || a.Status > 299 {
		return a.Expect()
	}
	return nil
}

func (g *generic) read(ctx context.Context, n int) (fence.Reading, error) {
	a, err := g.client.Do(ctx, Request{Method: nethttp.MethodGet, Path: g.path(g.status, n), Header: g.header})
	if err == nil {
		err = a.Expect(200)
	}
	if err != nil {
		return fence.Reading{}, fmt.Errorf("status: %w", err)
	}
	named := strings.NewReplacer(placeholder, g.selector(n))
	is, raw, err := match(a.Body, named.Replace(g.c.OffMatch), named.Replace(g.c.OnMatch))
	return fence.Reading{Power: is, Raw: raw}, err
}

// match compares an answer with what it is for off and for on.
func match(body []byte, off, on string) (fence.Power, string, error) {
	isOff, raw, err := matches(body, off)
	if err != nil {
		return fence.PowerUnknown, raw, err
	}
	isOn, rawOn, err := matches(body, on)
	switch {
	case err != nil:
		return fence.PowerUnknown, rawOn, err
	case isOff && !isOn:
		return fence.PowerOff, raw, nil
	case isOn && !isOff:
		return fence.PowerOn, rawOn, nil
	}
	return fence.PowerUnknown, raw, fmt.Errorf("status is %s: neither off nor on, or both", raw)
}

func matches(body []byte, want string) (ok bool, raw string, err error) {
	if !strings.HasPrefix(want, "/") {
		return strings.TrimSpace(string(body)) == strings.TrimSpace(want), Shown(body), nil
	}
	t, err := ParseTree(body)
	if err != nil {
		return false, Shown(body), err
	}
	pointer, text, _ := strings.Cut(want, "=")
	is := t.Pointer(pointer)
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		value = text // bare text is a string
	}
	raw = fmt.Sprintf("%s %v", pointer, is)
	switch v := value.(type) {
	case string:
		s, isText := is.Text()
		return isText && s == v, raw, nil
	case bool:
		b, isBool := is.Bool()
		return isBool && b == v, raw, nil
	case float64:
		f, isNumber := is.Number()
		return isNumber && f == v, raw, nil
	}
	return false, raw, fmt.Errorf("match %q is no string, number, true or false", want)
}

// list reads the outlets that were asked for; what others there are, no URL
// tells.
func (g *generic) list(ctx context.Context) ([]fence.Outlet, error) {
	if !g.several {
		if _, err := g.add("1"); err != nil {
			return nil, err
		}
	}
	g.mu.Lock()
	selectors := slices.Clone(g.selectors)
	g.mu.Unlock()
	var all []fence.Outlet
	for n, s := range selectors {
		r, err := g.read(ctx, n)
		if err != nil {
			return nil, err
		}
		all = append(all, fence.Outlet{Index: s, Reading: r})
	}
	return all, nil
}

// identify has nothing to ask: what is at a URL does not say what it is.
func (g *generic) identify(context.Context) (fence.Identity, []fence.Outlet, error) {
	return fence.Identity{Family: Generic}, nil, nil
}

func (g *generic) warnings(context.Context, int) ([]string, error) { return nil, nil }
