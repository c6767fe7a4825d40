//go:build !no_http

package notify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/twinbeat/twinbeat/agent/notify/alert"
	"github.com/twinbeat/twinbeat/fence/http"
)

// A WebhookConfig says where alerts are posted.
type WebhookConfig struct {
	URL            string
	Token          string // empty: none
	User, Password string
	Trust          http.Trust
	Timeout        time.Duration
}

// A Webhook posts alerts as JSON.
type Webhook struct {
	client *http.Client
	path   string
	header map[string]string
}

// NewWebhook checks the configuration. It does no I/O.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("its url is none") // the text may hold a secret
	}
	client, err := http.NewClient(http.ClientConfig{
		Address: u.Scheme + "://" + u.Host, Timeout: c.Timeout, Trust: c.Trust,
		User: c.User, Password: c.Password, Basic: u.Scheme == "https",
	})
	if err != nil {
		return nil, err
	}
	w := &Webhook{client: client, path: u.RequestURI(), header: map[string]string{"Content-Type": "application/json"}}
	if c.Token != "" {
		w.header["Authorization"] = "Bearer " + c.Token
	}
	return w, nil
}

// Send posts the alert. The path is not shown: it may be the secret.
func (w *Webhook) Send(ctx context.Context, a *alert.Alert) (string, error) {
	body, err := a.JSON()
	if err != nil {
		return "", err
	}
	if err := w.client.Begin(ctx); err != nil {
		return "", err
	}
	defer w.client.End()
	answer, err := w.client.Do(ctx, http.Request{Method: "POST", Path: "/", Hidden: w.path, Body: string(body), Header: w.header})
	if err != nil && !errors.Is(err, http.ErrLonger) {
		return "", err
	}
	switch s := answer.Status; {
	case s >= 200 && s < 300:
		return fmt.Sprintf("HTTP %d", s), nil
	case s >= 300 && s < 400:
		return "", fmt.Errorf("HTTP %d: it points elsewhere, and no redirect is followed: write its last URL", s)
	case s == 400 || s == 413 || s == 422:
		return "", fmt.Errorf("HTTP %d: %s: %w", s, http.Shown(answer.Body), ErrRefused)
	}
	return "", answer.Expect()
}
