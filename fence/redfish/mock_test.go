package redfish

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
	"github.com/twinbeat/twinbeat/fence/http"
)

const (
	testUser     = "root"
	testPassword = `cal"vin`
)

// A tree is the resources of one kind of BMC.
type tree struct {
	name   string
	system string // path of the system
	slash  bool   // redirects what does not end with one
	legacy bool
	info   bool // names the reset types in an ActionInfo
	match  bool // wants If-Match with an order
	meter  bool
	more   int // systems besides
}

var (
	idrac   = tree{name: "idrac", system: "/redfish/v1/Systems/System.Embedded.1", meter: true}
	ilo5    = tree{name: "ilo5", system: "/redfish/v1/Systems/1/", slash: true, meter: true}
	ilo4    = tree{name: "ilo4", system: "/rest/v1/Systems/1", legacy: true}
	openbmc = tree{name: "openbmc", system: "/redfish/v1/Systems/system", info: true, match: true}
	trees   = []tree{idrac, ilo5, ilo4, openbmc}
)

// A bmc is a simulated BMC, whose server is relay 0.
type bmc struct {
	tree
	relays   *fencetest.Relays
	web      *fencetest.Web
	server   *httptest.Server
	mu       sync.Mutex
	state    string // instead of PowerState, if not empty: JSON
	forbid   bool   // ForceOff is not among the allowed types
	task     bool   // orders are answered with 202
	sessions map[string]bool
	logins   int
	bodies   []string
}

func newBMC(t *testing.T, kind tree) *bmc {
	t.Helper()
	b := &bmc{tree: kind, relays: fencetest.NewRelays(1), sessions: map[string]bool{}}
	b.web = fencetest.NewWeb(b, func(r *nethttp.Request) bool {
		return r.Method == "POST" && !strings.Contains(r.URL.Path, "Sessions") && (!kind.match || r.Header.Get("If-Match") != "")
	})
	b.server = httptest.NewUnstartedServer(b.web)
	b.server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are to fail
	b.server.StartTLS()
	t.Cleanup(b.server.Close)
	return b
}

func (b *bmc) address() string { return strings.TrimPrefix(b.server.URL, "https://") }

func (b *bmc) config() Config {
	sum := sha256.Sum256(b.server.Certificate().Raw)
	return Config{
		Address: b.address(), User: testUser, Password: testPassword, Timeout: 5 * time.Second,
		Trust: http.Trust{Fingerprint: hex.EncodeToString(sum[:])},
	}
}

func (b *bmc) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func say(w nethttp.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;odata.metadata=minimal;charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

type object = map[string]any

func link(path string) object { return object{"@odata.id": path} }

func complaint(message, id string) object {
	return object{"error": object{"@Message.ExtendedInfo": []object{{"Message": message, "MessageId": id}}, "code": "Base.1.5.GeneralError", "message": "See ExtendedInfo"}}
}

// ServeHTTP answers as a healthy BMC.
func (b *bmc) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	path := strings.TrimRight(r.URL.Path, "/")
	switch {
	case b.legacy && !strings.HasPrefix(path, "/rest/v1") || !b.legacy && !strings.HasPrefix(path, "/redfish/v1"):
		say(w, 404, complaint("no such resource", "Base.1.0.ResourceMissingAtURI"))
		return
	case b.slash && !strings.HasSuffix(r.URL.Path, "/"):
		w.Header().Set("Location", r.URL.Path+"/")
		w.WriteHeader(308)
		return
	case r.Method == "POST" && strings.HasSuffix(path, "/Sessions"):
		b.login(w, r)
		return
	case !b.allowed(r):
		w.Header().Set("WWW-Authenticate", `Basic realm="BMC"`)
		say(w, 401, complaint("no valid session", "Base.1.5.NoValidSession"))
		return
	case r.Method == "DELETE":
		delete(b.sessions, path[strings.LastIndex(path, "/")+1:])
		w.WriteHeader(204)
		return
	case r.Method == "POST":
		b.reset(w, r, path)
		return
	}
	b.resource(w, path)
}

func (b *bmc) allowed(r *nethttp.Request) bool {
	user, password, _ := r.BasicAuth()
	return user == testUser && password == testPassword || b.sessions[r.Header.Get("X-Auth-Token")]
}

func (b *bmc) login(w nethttp.ResponseWriter, r *nethttp.Request) {
	var in struct{ UserName, Password string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	if in.UserName != testUser || in.Password != testPassword {
		say(w, 401, complaint("wrong password", "Base.1.5.NoValidSession"))
		return
	}
	b.logins++
	token := fmt.Sprintf("token%d", b.logins)
	b.sessions[token] = true
	w.Header().Set("X-Auth-Token", token)
	w.Header().Set("Location", "https://ilo-7CE.example.net"+strings.TrimRight(r.URL.Path, "/")+"/"+token)
	say(w, 201, object{"Id": token})
}

func (b *bmc) reset(w nethttp.ResponseWriter, r *nethttp.Request, path string) {
	var in object
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		say(w, 400, complaint("no JSON", "Base.1.0.MalformedJSON"))
		return
	}
	b.bodies = append(b.bodies, fmt.Sprint(in))
	target := strings.TrimRight(b.system, "/") + "/Actions/ComputerSystem.Reset"
	if b.legacy {
		target = b.system
	}
	what, _ := in["ResetType"].(string)
	on := b.relays.Said(0)
	switch {
	case path != target || b.legacy && in["Action"] != "Reset":
		say(w, 404, complaint("no such action", "Base.1.0.ActionNotSupported"))
	case b.match && r.Header.Get("If-Match") == "":
		say(w, 412, complaint("etag", "Base.1.5.PreconditionRequired"))
	case what == "ForceOff" && !on && b.name == "idrac":
		say(w, 409, complaint("Server is already powered OFF.", "IDRAC.2.1.PSU501"))
	case what == "ForceOff" && !on && b.slash:
		say(w, 400, complaint("", "iLO.0.10.InvalidOperationForSystemState"))
	case what == "ForceOff" && !b.forbid || what == "On":
		b.relays.Tell(0, what == "On")
		switch {
		case b.task:
			w.Header().Set("Location", "/redfish/v1/TaskService/Tasks/7")
			say(w, 202, object{"@odata.id": "/redfish/v1/TaskService/Tasks/7", "TaskState": "Running"})
		case b.slash || b.legacy:
			say(w, 200, object{"error": object{"@Message.ExtendedInfo": []object{{"MessageId": "Base.0.10.Success"}}, "code": "iLO.0.10.ExtendedInfo"}})
		default:
			w.WriteHeader(204)
		}
	default:
		say(w, 400, complaint("value not in the list", "Base.1.0.ActionParameterNotSupported"))
	}
}

func (b *bmc) types() []string {
	if b.forbid {
		return []string{"On", "GracefulShutdown", "PushPowerButton"}
	}
	return []string{"On", "ForceOff", "ForceRestart", "GracefulShutdown", "PushPowerButton", "Nmi"}
}

func (b *bmc) powerState() json.RawMessage {
	if b.state != "" {
		return json.RawMessage(b.state)
	}
	return json.RawMessage(map[bool]string{true: `"On"`, false: `"Off"`}[b.relays.Said(0)])
}

func (b *bmc) resource(w nethttp.ResponseWriter, path string) {
	w.Header().Set("ETag", `W/"12345"`)
	own := strings.TrimRight(b.system, "/")
	if b.legacy {
		b.rest(w, path)
		return
	}
	switch path {
	case "/redfish/v1":
		say(w, 200, object{"RedfishVersion": "1.11.0", "Systems": link("/redfish/v1/Systems")})
	case "/redfish/v1/Systems":
		all := []object{link(b.system)}
		for i := range b.more {
			all = append(all, link(fmt.Sprintf("/redfish/v1/Systems/other%d", i)))
		}
		say(w, 200, object{"@odata.type": "#ComputerSystemCollection.ComputerSystemCollection", "Members": all, "Members@odata.count": len(all)})
	case own:
		reset := object{"target": own + "/Actions/ComputerSystem.Reset"}
		if b.slash {
			reset["target"] = own + "/Actions/ComputerSystem.Reset/"
		}
		if b.info {
			reset["@Redfish.ActionInfo"] = own + "/ResetActionInfo"
		} else {
			reset["ResetType@Redfish.AllowableValues"] = b.types()
		}
		say(w, 200, object{
			"@odata.id": b.system, "@odata.type": "#ComputerSystem.v1_20_1.ComputerSystem", "Id": idOf(own),
			"Manufacturer": "Dell Inc.", "Model": "PowerEdge R640", "SerialNumber": "CN7016360A0123", "BiosVersion": "2.12.2", "HostName": "fw2",
			"UUID": "4c4c4544-0051-3010-8052-b4c04f333332", "PowerState": b.powerState(),
			"Actions": object{"#ComputerSystem.Reset": reset}, "Links": object{"Chassis": []object{link("/redfish/v1/Chassis/1")}},
		})
	case own + "/ResetActionInfo":
		say(w, 200, object{"Parameters": []object{{"Name": "ResetType", "AllowableValues": b.types()}}})
	case "/redfish/v1/Chassis/1":
		chassis := object{"@odata.type": "#Chassis.v1_5_0.Chassis", "Links": object{"ComputerSystems": []object{link(b.system)}}}
		if b.meter {
			chassis["Power"] = link("/redfish/v1/Chassis/1/Power")
		}
		say(w, 200, chassis)
	case "/redfish/v1/Chassis/1/Power":
		watts := 14
		if b.relays.HasPower(0) {
			watts = 180
		}
		say(w, 200, object{"PowerControl": []object{{"PowerConsumedWatts": watts}}})
	default:
		say(w, 404, complaint("no such resource", "Base.1.0.ResourceMissingAtURI"))
	}
}

func (b *bmc) rest(w nethttp.ResponseWriter, path string) {
	switch path {
	case "/rest/v1/Systems":
		say(w, 200, object{
			"Type": "Collection.0.9.5", "Total": 1, "links": object{"Member": []object{{"href": b.system}}},
			"Items": []object{{"links": object{"self": object{"href": b.system}}}},
		})
	case b.system:
		say(w, 200, object{
			"Type": "ComputerSystem.0.9.6", "Manufacturer": "HP", "Model": "ProLiant DL360 Gen8", "SerialNumber": "CN7016360A0123", "HostName": "fw2",
			"Bios": object{"Current": object{"VersionString": "P71 07/01/2015"}}, "Power": b.powerState(),
			"AvailableActions": []object{{"Action": "Reset", "Capabilities": []object{{"PropertyName": "ResetType", "AllowableValues": b.types()}}}},
		})
	default:
		say(w, 404, complaint("no such resource", "Base.0.10.ResourceMissing"))
	}
}

// drive returns the switch of the BMC's only system, and its prover.
func (b *bmc) drive(t *testing.T, c Config) (*Unit, *system, *fence.Prover) {
	t.Helper()
	u, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	sw, err := u.Outlet("")
	if err != nil {
		t.Fatal(err)
	}
	p, err := fence.New(sw, fence.Timing{Poll: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return u, sw.(*system), p
}

func writePEM(w *strings.Builder, der []byte) {
	_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func colons(s string) string {
	var parts []string
	for i := 0; i < len(s); i += 2 {
		parts = append(parts, s[i:i+2])
	}
	return strings.Join(parts, ":")
}
