package report

// Alerting is how telling people far away goes.
type Alerting struct {
	Error   string        `json:"error,omitempty"` // why what waits is not kept on disk
	Targets []AlertTarget `json:"targets"`
}

// An AlertTarget is one of those who are told.
type AlertTarget struct {
	Name        string   `json:"name"`
	Type        string   `json:"type"`
	Where       string   `json:"where,omitempty"`
	Delivered   uint64   `json:"delivered"` // since the agent started
	Waiting     int      `json:"waiting"`
	Held        int      `json:"held_back"`             // repetitions that are only counted so far
	Dropped     uint64   `json:"dropped,omitempty"`     // without having been told so yet
	Refused     uint64   `json:"refused,omitempty"`     // given up, for what they said
	Tries       int      `json:"tries,omitempty"`       // in a row that failed
	ToldAgoMS   *float64 `json:"told_ago_ms,omitempty"` // last success; nil: none since the start
	FailedAgoMS *float64 `json:"failed_ago_ms,omitempty"`
	Answer      string   `json:"answer,omitempty"` // of the last success
	Error       string   `json:"error,omitempty"`  // of the last try; empty: it went well
}
