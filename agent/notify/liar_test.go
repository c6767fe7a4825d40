package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/notify"
)

// A webhook's server may be slow, broken, moved, or say far too much.
func TestAWebhookBelievesOnlyA2xx(t *testing.T) {
	elsewhere := httptest.NewServer(nethttp.HandlerFunc(func(nethttp.ResponseWriter, *nethttp.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	wait := make(chan struct{})
	defer close(wait)
	endless := func(status int) nethttp.HandlerFunc {
		return func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			w.WriteHeader(status)
			for range 1 << 12 {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}
	}
	status := func(n int) nethttp.HandlerFunc {
		return func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			w.WriteHeader(n)
			_, _ = io.WriteString(w, "because \x1b[31m")
		}
	}
	for _, tt := range []struct {
		name    string
		serve   nethttp.HandlerFunc
		answer  string
		fails   string
		refused bool
	}{
		{"200", status(200), "HTTP 200", "", false},
		{"204", func(w nethttp.ResponseWriter, _ *nethttp.Request) { w.WriteHeader(204) }, "HTTP 204", "", false},
		{"500", status(500), "", "HTTP 500", false},
		{"503", status(503), "", "HTTP 503", false},
		{"401", status(401), "", "HTTP 401", false},
		{"404", status(404), "", "HTTP 404", false},
		{"400", status(400), "", "HTTP 400", true},
		{"413", status(413), "", "HTTP 413", true},
		{"redirect", func(w nethttp.ResponseWriter, q *nethttp.Request) {
			nethttp.Redirect(w, q, elsewhere.URL, nethttp.StatusTemporaryRedirect)
		}, "", "no redirect is followed", false},
		{"slow", func(_ nethttp.ResponseWriter, q *nethttp.Request) { <-wait }, "", "deadline", false},
		{"endless, but taken", endless(200), "HTTP 200", "", false},
		{"endless error", endless(500), "", "HTTP 500", false},
		{"cut off", func(w nethttp.ResponseWriter, _ *nethttp.Request) { panic(nethttp.ErrAbortHandler) }, "", "EOF", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.serve)
			defer server.CloseClientConnections()
			w, err := notify.NewWebhook(notify.WebhookConfig{URL: server.URL + "/secret-path?key=1", Timeout: 2 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			answer, err := w.Send(t.Context(), takeover())
			switch {
			case tt.fails == "" && (err != nil || answer != tt.answer):
				t.Errorf("%q, %v", answer, err)
			case tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails) || errors.Is(err, notify.ErrRefused) != tt.refused):
				t.Errorf("%q, %v", answer, err)
			case err != nil && strings.Contains(err.Error(), "secret-path"):
				t.Errorf("the path is shown: %v", err)
			}
		})
	}
}

func TestAWebhookSendsTheAlertAndItsToken(t *testing.T) {
	var got map[string]any
	server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, q *nethttp.Request) {
		if q.Method != "POST" || q.URL.RequestURI() != "/hook/x?key=1" || q.Header.Get("Authorization") != "Bearer t0ken" || q.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %v", q.Method, q.URL, q.Header)
		}
		if err := json.NewDecoder(q.Body).Decode(&got); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	w, err := notify.NewWebhook(notify.WebhookConfig{URL: server.URL + "/hook/x?key=1", Token: "t0ken", Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Send(t.Context(), takeover()); err != nil {
		t.Fatal(err)
	}
	if got["severity"] != "critical" || got["evidence"] != "silence" || got["title"] != "group gateway: ARMED -> ACTIVE" || got["version"] != 1.0 {
		t.Errorf("%v", got)
	}
}

func TestACommandGetsTheAlertAndSaysHowItWent(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "page")
	const text = `#!/bin/sh
printf '%s\n' "$TWINBEAT_ALERT_TITLE" "$TWINBEAT_ALERT_SEVERITY" "$1" >"$2"
cat >>"$2"
case $3 in
hang) sleep 60 ;;
*) echo paged; exit "$3" ;;
esac
`
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		code, answer, fails string
		refused             bool
	}{
		{"0", "exit code 0 paged", "", false},
		{"1", "", "exit code 1: paged", false},
		{"65", "", "exit code 65: paged: refused", true},
		{"hang", "", "", false},
	} {
		file := filepath.Join(dir, tt.code)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		answer, err := notify.Command{Argv: []string{script, "oncall", file, tt.code}, Timeout: 2 * time.Second}.Send(ctx, takeover())
		cancel()
		if answer != tt.answer || (err != nil) != (tt.code != "0") || err != nil && !strings.Contains(err.Error(), tt.fails) || errors.Is(err, notify.ErrRefused) != tt.refused {
			t.Errorf("%s: %q, %v", tt.code, answer, err)
		}
		b, _ := os.ReadFile(file)
		lines := strings.SplitN(string(b), "\n", 4)
		if len(lines) != 4 || lines[0] != "group gateway: ARMED -> ACTIVE" || lines[1] != "critical" || lines[2] != "oncall" || !json.Valid([]byte(lines[3])) {
			t.Errorf("%s got %q", tt.code, b)
		}
	}
}
