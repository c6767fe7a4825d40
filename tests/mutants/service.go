package main

// Files of the services.
var (
	serviceGroupGo     = in("agent/service/group.go")
	serviceOpenRCGo    = in("agent/service/openrc.go")
	serviceProcdGo     = in("agent/service/procd.go")
	serviceRunitGo     = in("agent/service/runit.go")
	serviceOCFGo       = in("agent/service/ocf.go")
	serviceHeartbeatGo = in("agent/service/heartbeat.go")
	serviceDetectGo    = in("agent/service/detect.go")
	serviceSysvGo      = in("agent/service/sysv.go")
	serviceCommandGo   = in("agent/service/command.go")
)

// serviceMutants are the rules of what counts as a stopped service: one that
// may still run must not be started on the other node.
var serviceMutants = []mutant{
	{
		name: "unknown-is-stopped", rings: "service",
		rule:  "A service whose state cannot be read is not stopped.",
		edits: edits{serviceGroupGo("\t\tif state == Stopped {\n\t\t\treturn nil\n", "\t\tif state == Stopped || state == Unknown {\n\t\t\treturn nil\n")},
		by:    "NobodyCanRead",
	},
	{
		name: "failed-is-stopped", rings: "service",
		rule:  "A service that has failed is not stopped.",
		edits: edits{serviceGroupGo("\t\tif state == Stopped {\n\t\t\treturn nil\n", "\t\tif state == Stopped || state == Failed {\n\t\t\treturn nil\n")},
		by:    "AFailedService",
	},
	{
		name: "the-stop-commands-word-counts", rings: "service",
		rule:  "A stop is judged by the status and not by its command.",
		edits: edits{serviceGroupGo("\t\tif state == Stopped {\n\t\t\treturn nil\n", "\t\tif state == Stopped || cmdErr == nil {\n\t\t\treturn nil\n")},
		by:    "AStopIsJudged",
	},
	{
		name: "a-stop-that-timed-out-is-stopped", rings: "service",
		rule:  "A stop that timed out is not stopped.",
		edits: edits{serviceGroupGo("\t\tif ctx.Err() != nil {\n\t\t\tbreak\n\t\t}\n\t}\n\treturn s.failed(\"stop\"", "\t\tif ctx.Err() != nil {\n\t\t\treturn nil\n\t\t}\n\t}\n\treturn s.failed(\"stop\"")},
		by:    "AStopGoesOn|DidNothing",
	},
	{
		name: "failed-is-only-started", rings: "service",
		rule:  "A service that has failed is restarted, for it is started already.",
		edits: edits{serviceGroupGo("\tcase state == Failed: //", "\tcase false: //")},
		by:    "AFailedService",
	},
	{
		name: "adopt-leaves-what-has-failed", rings: "service",
		rule:  "An adopted service that has failed is restarted.",
		edits: edits{serviceGroupGo("(adopt && (state == Running || state == Unknown))", "(adopt && state != Stopped)")},
		by:    "AdoptRestarts",
	},
	{
		name: "promoted-ones-are-left-alone", rings: "service",
		rule:  "A service that is promoted is demoted when its group goes, also with keep_on_stop.",
		edits: edits{in("agent/service/service.go")("s.KeepOnStop && !s.Promote", "s.KeepOnStop")},
		by:    "OCF",
	},
	{
		name: "children-outlive-the-deadline", rings: "service",
		rule:  "At its deadline a command is killed with all that it started.",
		edits: edits{serviceCommandGo("if cause != nil || sweep {", "if false && sweep {")},
		by:    "AnActionThatHangs",
	},
	{
		name: "openrc-crashed-is-stopped", rings: "service",
		rule:  "Crashed and unsupervised services of OpenRC are not stopped.",
		edits: edits{serviceOpenRCGo("\tcase 16, 32, 64:\n\t\treturn Failed, exitError(what, res)", "\tcase 16, 32, 64:\n\t\treturn Stopped, nil")},
		by:    "OpenRCStatus",
	},
	{
		name: "openrc-stopping-is-stopped", rings: "service",
		rule:  "A service of OpenRC that is stopping is not stopped yet.",
		edits: edits{serviceOpenRCGo("\tcase 4, 8:\n\t\treturn Unknown, &", "\tcase 4:\n\t\treturn Stopped, nil\n\tcase 8:\n\t\treturn Unknown, &")},
		by:    "OpenRCStatus",
	},
	{
		name: "procd-not-running-is-stopped", rings: "service",
		rule:  "An instance that procd may start again is not stopped.",
		edits: edits{serviceProcdGo("return Failed, fmt.Errorf(\"%d of %d instances run\", running, len(s.Instances))", "return Stopped, nil")},
		by:    "ProcdsList",
	},
	{
		name: "procd-lists-no-services-is-stopped", rings: "service",
		rule:  "What is no list of services tells no state.",
		edits: edits{serviceProcdGo("err != nil || services == nil {", "err != nil {")},
		by:    "ProcdsList",
	},
	{
		name: "scripts-procd-does-not-know-are-stopped", rings: "service",
		rule:  "A script without USE_PROCD is not judged by procd's list.",
		edits: edits{serviceProcdGo("ok && strings.Trim(value, `\"'`) != \"\" {", "ok || value != \"\" {")},
		by:    "AScriptThat",
	},
	{
		name: "runit-want-up-is-stopped", rings: "service",
		rule:  "A service that runsv is about to start is not stopped.",
		edits: edits{serviceRunitGo("word == \"down\" && has(\"want up\"), ", "")},
		by:    "RunitStatus",
	},
	{
		name: "runit-log-counts", rings: "service",
		rule:  "The state of the log is not the service's.",
		edits: edits{serviceRunitGo("own, _, _ := strings.Cut(line, \"; \")", "own := line[strings.LastIndex(line, \"; \")+1:]")},
		by:    "RunitStatus",
	},
	{
		name: "ocf-generic-error-is-stopped", rings: "service",
		rule:  "A monitor that fails is not stopped.",
		edits: edits{serviceOCFGo("\tcase ocfGeneric, ocfFailedPromoted:\n\t\treturn Failed, ocfError(\"monitor\", res)", "\tcase ocfGeneric, ocfFailedPromoted:\n\t\treturn Stopped, nil")},
		by:    "MonitorCodes",
	},
	{
		name: "ocf-unpromoted-is-stopped", rings: "service",
		rule:  "An instance that runs unpromoted is not stopped, unless it is to stay behind.",
		edits: edits{serviceOCFGo("case o.keep:", "case true:")},
		by:    "MonitorCodes",
	},
	{
		name: "not-running-contains-running", rings: "service",
		rule:  "A running that a not stands before is no claim that it runs.",
		edits: edits{serviceHeartbeatGo("denied := i-last <= notReach", "denied := i-last <= notReach && false")},
		by:    "HeartbeatStatus",
	},
	{
		name: "no-word-is-stopped", rings: "service",
		rule:  "A text that says neither running nor stopped tells no state.",
		edits: edits{serviceHeartbeatGo("case res.Code >= shell, !running && !stopped, ", "case !running && !stopped:\n\t\treturn Stopped, nil\n\tcase res.Code >= shell, ")},
		by:    "HeartbeatStatus",
	},
	{
		name: "an-error-is-a-claim", rings: "service",
		rule:  "A line that tells of an error says nothing of the state.",
		edits: edits{serviceHeartbeatGo("const doubts = \"error cannot unable unknown failed whether\"", "const doubts = \"-\"")},
		by:    "HeartbeatStatus",
	},
	{
		name: "sysv-usage-is-stopped", rings: "service",
		rule:  "An init script without a status action has none, whatever its exit code.",
		edits: edits{serviceSysvGo("if strings.Contains(text, \"usage:\") {", "if false && strings.Contains(text, \"usage:\") {")},
		by:    "InitScriptStatus",
	},
	{
		name: "auto-takes-the-first-of-two", rings: "service",
		rule:  "Of two init systems that know a service auto takes none.",
		edits: edits{serviceDetectGo("case len(fit) > 1:", "case false:"), serviceDetectGo("case len(fit) == 1:", "case len(fit) >= 1:")},
		by:    "DriverIsChosen",
	},
}
