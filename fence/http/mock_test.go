package http

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twinbeat/twinbeat/fence/fencetest"
)

const (
	testUser     = "admin"
	testPassword = `s3cret"&=%`
)

// A kind is a family as a test drives it, by an outlet that is not the first
// where there are several.
type kind struct {
	name     string
	config   Config
	device   func(*fencetest.Relays) nethttp.Handler
	outlets  int
	selector string
	relay    int
	metered  bool // outlet by outlet
	order    func(*nethttp.Request) bool
}

var kinds = []kind{
	{
		name: "digitalloggers-rest", config: Config{Family: DigitalLoggers, User: testUser, Password: testPassword},
		device: func(r *fencetest.Relays) nethttp.Handler { return digestAuth("MD5", dliREST8(r)) }, outlets: 8, selector: "3", relay: 2,
		order: func(r *nethttp.Request) bool { return r.Method == "PUT" && r.Header.Get("Authorization") != "" },
	},
	{
		name: "digitalloggers-page", config: Config{Family: DigitalLoggers, User: testUser, Password: testPassword},
		device: dliPages8, outlets: 8, selector: "Server 3", relay: 2,
		order: func(r *nethttp.Request) bool { return r.URL.Path == "/outlet" },
	},
	{
		name: "tasmota", config: Config{Family: Tasmota, Password: testPassword},
		device: tasmotaPlug, outlets: 1, selector: "1", relay: 0, metered: true, order: tasmotaOrder,
	},
	{
		name: "tasmota-4", config: Config{Family: Tasmota, Password: testPassword},
		device: tasmotaPlug, outlets: 4, selector: "2", relay: 1, order: tasmotaOrder,
	},
	{
		name: "shelly-gen1", config: Config{Family: Shelly, User: testUser, Password: testPassword},
		device: shellyGen1, outlets: 2, selector: "1", relay: 1, metered: true,
		order: func(r *nethttp.Request) bool { return r.URL.Query().Has("turn") && r.Header.Get("Authorization") != "" },
	},
	{
		name: "shelly-gen2", config: Config{Family: Shelly, Password: testPassword},
		device: shellyGen2, outlets: 4, selector: "firewall 2", relay: 2, metered: true,
		order: func(r *nethttp.Request) bool {
			return r.URL.Path == "/rpc/Switch.Set" && r.Header.Get("Authorization") != ""
		},
	},
	{
		name: "http-text", config: Config{
			Family: Generic, OffURL: "/set/{outlet}/off", OnURL: "/set/{outlet}/on", StatusURL: "/get/{outlet}", Method: "POST",
			OffMatch: "outlet is off", OnMatch: "outlet is on", Headers: []string{"X-Key: k"},
		},
		device: plainSwitch, outlets: 4, selector: "2", relay: 1, order: func(r *nethttp.Request) bool { return r.Method == "POST" },
	},
	{
		name: "http-json", config: Config{
			Family: Generic, OffURL: "/set/{outlet}/off", OnURL: "/set/{outlet}/on", StatusURL: "/json/{outlet}", Method: "POST",
			OffMatch: "/ports/{outlet}/state=off", OnMatch: "/ports/{outlet}/state=on", Headers: []string{"X-Key: k"},
		},
		device: plainSwitch, outlets: 4, selector: "2", relay: 1, order: func(r *nethttp.Request) bool { return r.Method == "POST" },
	},
}

// A bench is one device with its web server, and the unit that drives it.
type bench struct {
	kind
	relays *fencetest.Relays
	web    *fencetest.Web
	unit   *Unit
	outlet *outlet
}

func newBench(t *testing.T, k kind) *bench {
	t.Helper()
	b := &bench{kind: k, relays: fencetest.NewRelays(k.outlets)}
	b.web = fencetest.NewWeb(k.device(b.relays), k.order)
	server := httptest.NewServer(b.web)
	t.Cleanup(server.Close)
	c := k.config
	c.Address = strings.TrimPrefix(server.URL, "http://")
	unit, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	sw, err := unit.Outlet(k.selector)
	if err != nil {
		t.Fatal(err)
	}
	b.unit, b.outlet = unit, sw.(*outlet)
	return b
}

func say(w nethttp.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// digestAuth asks for Digest; each nonce is good for a few requests.
func digestAuth(algorithm string, next nethttp.Handler) nethttp.Handler {
	var mu sync.Mutex
	nonce, uses := 0, 0
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		mu.Lock()
		defer mu.Unlock()
		all := challenges([]string{r.Header.Get("Authorization")})
		stale := "false"
		if len(all) == 1 && all[0].scheme == "digest" {
			p := all[0].params
			d := digest{realm: "switch-1", nonce: strconv.Itoa(nonce), sha256: algorithm == "SHA-256", qop: true, algorithm: algorithm, opaque: `a"b`, opaqued: true}
			count, _ := strconv.ParseUint(p["nc"], 16, 32)
			d.count = uint32(count)
			want := challenges([]string{d.authorization(testUser, testPassword, r.Method, r.URL.RequestURI(), p["cnonce"])})[0].params
			if p["response"] == want["response"] && p["username"] == testUser && p["opaque"] == d.opaque {
				if uses++; uses <= 5 && int(count) == uses {
					next.ServeHTTP(w, r)
					return
				}
				stale = "true"
			}
		}
		nonce, uses = nonce+1, 0
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Basic realm="x", Digest realm="switch-1", qop="auth,auth-int", nonce="%d", opaque="a\"b", algorithm=%s, stale=%s`, nonce, algorithm, stale))
		w.WriteHeader(401)
	})
}

// dliREST8 is the part of Digital Loggers' REST tree that we use.
func dliREST8(relays *fencetest.Relays) nethttp.Handler {
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.Header.Get("Accept") != "application/json" {
			nethttp.Error(w, "<html></html>", nethttp.StatusNotAcceptable)
			return
		}
		path := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/restapi/"), "/")
		switch path {
		case "relay/name":
			say(w, "PDU 1")
			return
		case "relay/model":
			say(w, "EPCR5")
			return
		case "config/version":
			say(w, "1.10.16.0")
			return
		case "relay/outlets/all;/=name,physical_state":
			var all []any
			for i := range relays.Count() {
				all = append(all, fmt.Sprintf("Server %d", i+1), relays.Said(i))
			}
			w.WriteHeader(207)
			say(w, all)
			return
		}
		var i int
		var leaf string
		if n, _ := fmt.Sscanf(path, "relay/outlets/%d/%s", &i, &leaf); n != 2 || i >= relays.Count() {
			nethttp.Error(w, "{}", 404)
			return
		}
		switch {
		case r.Method == "PUT" && leaf == "state":
			v := r.FormValue("value")
			if r.Header.Get("X-CSRF") == "" || v != "true" && v != "false" {
				nethttp.Error(w, "{}", nethttp.StatusForbidden)
				return
			}
			relays.Tell(i, v == "true")
			w.WriteHeader(204)
		case leaf == "physical_state":
			say(w, relays.Said(i))
		case leaf == "state", leaf == "transient_state":
			say(w, relays.Told(i))
		case leaf == "locked":
			say(w, i == 7)
		default:
			nethttp.Error(w, "{}", 404)
		}
	})
}

// dliPages8 is an old one, with the form and the page as they were recorded.
func dliPages8(relays *fencetest.Relays) nethttp.Handler {
	const challenge, cookie = "/5x0Qtb+woPNntN", "C9P0wUvB4rQIwq9"
	form := func(w nethttp.ResponseWriter) {
		fmt.Fprintf(w, `<html><FORM NAME="login" ID="login" ACTION="/login.tgi" METHOD=post>
<input type="hidden" name="Challenge" value="%s"></FORM></html>`, challenge)
	}
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/login.tgi" {
			sum := md5.Sum([]byte(challenge + testUser + testPassword + challenge))
			if r.FormValue("Username") == testUser && r.FormValue("Password") == hex.EncodeToString(sum[:]) {
				w.Header().Set("Set-Cookie", `DLILPC="`+cookie+`"; Version=1; Path=/`)
			}
			fmt.Fprint(w, `<HTML><META HTTP-EQUIV="refresh" content="0; URL=/index.htm"></HTML>`)
			return
		}
		if c, err := r.Cookie("DLILPC"); err != nil || c.Value != cookie {
			form(w)
			return
		}
		if r.URL.Path == "/outlet" {
			number, word, _ := strings.Cut(r.URL.RawQuery, "=")
			if n, err := strconv.Atoi(number); err == nil && (word == "ON" || word == "OFF") {
				relays.Tell(n-1, word == "ON")
			}
			fmt.Fprint(w, `<html><META HTTP-EQUIV="refresh" content="0; URL=/index.htm"></html>`)
			return
		}
		fmt.Fprint(w, dliIndex(relays))
	})
}

func dliIndex(relays *fencetest.Relays) string {
	var rows strings.Builder
	bits := 0
	for i := range relays.Count() {
		state, color, other := "OFF", "red", "ON"
		if relays.Said(i) {
			state, color, other = "ON", "green", "OFF"
			bits |= 1 << i
		}
		fmt.Fprintf(&rows, `<tr bgcolor="#F4F4F4"><td align=center>%d</td>
<td>Server %d</td><td>
<b><font color=%s>%s</font></b></td><td>
<a onclick="return confirm(&quot;ON or OFF?&quot;)" href=outlet?%d=%s>Switch %s</a>
</td><td>
<a  href=outlet?%d=CCL>Cycle</a>
</td></tr>
`, i+1, i+1, color, state, i+1, other, other, i+1)
	}
	return fmt.Sprintf(`<html>
<head><title>Outlet Control  - PDU 1</title></head>
<!-- state=%02x lock=80 -->
<td valign=bottom><small>Version 1.8.4 (Feb 05 2016 / 01:15:58) 8AA39795-24BC7C4A</small></td>
<td><small>S/N:LPC612010</small></td>
<tr bgcolor="#DDDDDD"><th>#</th><th align=left>Name</th></tr>
%s
<a href=outlet?a=OFF>All Outlets OFF</a>
<tr><td align=center>Sequence delay: 2 sec.</td></tr>
</html>`, bits, rows.String())
}

func tasmotaOrder(r *nethttp.Request) bool {
	return strings.Contains(r.URL.Query().Get("cmnd"), " O") // OFF, ON
}

// tasmotaPlug answers the commands that we use as Tasmota 12 does.
func tasmotaPlug(relays *fencetest.Relays) nethttp.Handler {
	word := map[bool]string{true: "ON", false: "OFF"}
	key := func(i int) string {
		if relays.Count() == 1 {
			return "POWER"
		}
		return "POWER" + strconv.Itoa(i+1)
	}
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		q := r.URL.Query()
		if q.Get("user") != testUser || q.Get("password") != testPassword {
			say(w, map[string]string{"WARNING": "Need user=<username>&password=<password>"})
			return
		}
		command, n, arg := q.Get("cmnd"), 0, ""
		if got, _ := fmt.Sscanf(command, "Power%d %s", &n, &arg); got == 2 && relays.Tell(n-1, arg == "ON") {
			say(w, map[string]string{key(n - 1): arg})
			return
		}
		if got, _ := fmt.Sscanf(command, "PulseTime%d", &n); got == 1 {
			say(w, map[string]any{fmt.Sprintf("PulseTime%d", n): map[string]int{"Set": 0, "Remaining": 0}})
			return
		}
		state := map[string]any{"Time": "2026-11-22T05:00:00", "Uptime": "0T00:10:11"}
		watts := 0.0
		for i := range relays.Count() {
			state[key(i)] = word[relays.Said(i)]
			if relays.HasPower(i) {
				watts += 42
			}
		}
		switch command {
		case "Status 11":
			say(w, map[string]any{"StatusSTS": state})
		case "Status 10":
			say(w, map[string]any{"StatusSNS": map[string]any{"ENERGY": map[string]any{"Total": 196.7, "Power": watts}}})
		case "Status":
			say(w, map[string]any{"Status": map[string]any{"Module": 43, "FriendlyName": []string{"firewall", "Server 2"}, "PowerOnState": 3}})
		case "Status 2":
			say(w, map[string]any{"StatusFWR": map[string]any{"Version": "12.5.0(tasmota)", "Hardware": "ESP8266EX"}})
		case "Status 5":
			say(w, map[string]any{"StatusNET": map[string]any{"Hostname": "tasmota-1234", "Mac": "5C:CF:7F:00:12:34"}})
		default:
			say(w, map[string]string{"Command": "Unknown"})
		}
	})
}

// shellyGen1 answers as a Shelly 2.5 with firmware 1.12.
func shellyGen1(relays *fencetest.Relays) nethttp.Handler {
	one := func(i int) map[string]any {
		return map[string]any{
			"ison": relays.Said(i), "has_timer": false, "timer_started": 0, "timer_duration": 0, "timer_remaining": 0,
			"overpower": false, "is_valid": true, "source": "http",
		}
	}
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/shelly" {
			say(w, map[string]any{"type": "SHSW-25", "mac": "E09806A9E103", "auth": true, "fw": "20220809-124723/v1.12-g99f7e0b", "num_outputs": 2})
			return
		}
		if user, password, _ := r.BasicAuth(); user != testUser || password != testPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="Shelly"`)
			nethttp.Error(w, "401 Unauthorized", nethttp.StatusUnauthorized)
			return
		}
		var i int
		switch n, _ := fmt.Sscanf(r.URL.Path, "/relay/%d", &i); {
		case n == 1 && i < relays.Count():
			turn := r.URL.Query().Get("turn")
			answer := one(i)
			if turn == "on" || turn == "off" {
				relays.Tell(i, turn == "on")
				answer["ison"] = turn == "on"
			}
			say(w, answer)
		case r.URL.Path == "/settings/relay/1":
			say(w, map[string]any{"name": "firewall 2", "ison": true, "default_state": "last", "auto_on": 0.0, "auto_off": 0.0, "schedule": false})
		case r.URL.Path == "/settings/relay/0":
			say(w, map[string]any{"name": nil, "ison": true, "default_state": "on", "auto_on": 30.0, "auto_off": 2.5, "schedule": true})
		case r.URL.Path == "/settings":
			say(w, map[string]any{"relays": []any{map[string]any{"name": nil}, map[string]any{"name": "firewall 2"}}})
		case r.URL.Path == "/status":
			var all, meters []any
			for i := range relays.Count() {
				all = append(all, one(i))
				watts := 0.0
				if relays.HasPower(i) {
					watts = 42
				}
				meters = append(meters, map[string]any{"power": watts, "overpower": 0.0, "is_valid": true})
			}
			say(w, map[string]any{"relays": all, "meters": meters, "overtemperature": false, "mac": "E09806A9E103"})
		default:
			nethttp.Error(w, "Not Found", 404)
		}
	})
}

// shellyGen2 answers as a Shelly Pro 4PM with firmware 1.0.
func shellyGen2(relays *fencetest.Relays) nethttp.Handler {
	status := func(i int) map[string]any {
		watts := 0.0
		if relays.HasPower(i) {
			watts = 42
		}
		return map[string]any{"id": i, "source": "HTTP", "output": relays.Said(i), "apower": watts, "voltage": 230.1}
	}
	rpc := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		q := r.URL.Query()
		i, err := strconv.Atoi(q.Get("id"))
		if strings.HasPrefix(r.URL.Path, "/rpc/Switch.") && (err != nil || i >= relays.Count()) {
			w.WriteHeader(404)
			say(w, map[string]any{"code": -105, "message": "Argument 'id', value 9 not found!"})
			return
		}
		switch r.URL.Path {
		case "/rpc/Switch.Set":
			was := relays.Told(i)
			relays.Tell(i, q.Get("on") == "true")
			say(w, map[string]any{"was_on": was})
		case "/rpc/Switch.GetStatus":
			say(w, status(i))
		case "/rpc/Switch.GetConfig":
			say(w, map[string]any{"id": i, "initial_state": "restore_last", "auto_on": i == 1, "auto_on_delay": 60, "auto_off": false, "auto_off_delay": 60})
		case "/rpc/Shelly.GetStatus", "/rpc/Shelly.GetConfig":
			all := map[string]any{"sys": map[string]any{}}
			for i := range relays.Count() {
				s := status(i)
				if r.URL.Path == "/rpc/Shelly.GetConfig" {
					s = map[string]any{"id": i, "name": nil}
					if i == 2 {
						s["name"] = "firewall 2"
					}
				}
				all[fmt.Sprintf("switch:%d", i)] = s
			}
			say(w, all)
		default:
			nethttp.Error(w, "Not Found", 404)
		}
	})
	locked := digestAuth("SHA-256", rpc)
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/shelly" {
			say(w, map[string]any{"name": nil, "id": "shellypro4pm-aabbcc", "mac": "AABBCC112233", "model": "SPSW-104PE16EU", "gen": 2, "ver": "1.0.0", "app": "Pro4PM", "auth_en": true})
			return
		}
		locked.ServeHTTP(w, r)
	})
}

// plainSwitch has one URL for each thing.
func plainSwitch(relays *fencetest.Relays) nethttp.Handler {
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		n, err := strconv.Atoi(parts[1])
		if r.Header.Get("X-Key") != "k" || err != nil || n < 1 || n > relays.Count() {
			nethttp.Error(w, "no", 404)
			return
		}
		on := relays.Said(n - 1)
		switch parts[0] {
		case "set":
			relays.Tell(n-1, parts[2] == "on")
		case "get":
			fmt.Fprintln(w, "outlet is "+map[bool]string{true: "on", false: "off"}[on])
		case "json":
			say(w, map[string]any{"ports": map[string]any{parts[1]: map[string]any{"state": map[bool]string{true: "on", false: "off"}[on]}}})
		}
	})
}
