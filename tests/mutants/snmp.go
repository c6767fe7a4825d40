package main

// Files of the power strips by SNMP.
var (
	snmpJudgeGo   = in("fence/snmp/judge.go")
	snmpLearnGo   = in("fence/snmp/learn.go")
	snmpOutletGo  = in("fence/snmp/outlet.go")
	snmpSessionGo = in("fence/snmp/session.go")
	snmpTableGo   = in("fence/snmp/families.go")
)

// snmpMutants are the rules of what counts as off, and of which outlet is meant.
var snmpMutants = []mutant{
	{
		name: "not-on-is-off", rings: "snmp",
		rule:  "Off is the family's value of off, and no other.",
		edits: edits{snmpJudgeGo("case ok && n == p.family.isOff:", "case ok && n != p.family.isOn:")},
	},
	{
		name: "any-type-is-a-number", rings: "snmp",
		rule:  "A state is an INTEGER.",
		edits: edits{snmpJudgeGo("return n, ok && v.Type == gosnmp.Integer\n}", "if g, is := v.Value.(uint); is {\n\t\treturn int(g), true\n\t}\n\treturn n, ok\n}")},
	},
	{
		name: "answer-for-another-object-counts", rings: "snmp",
		rule:  "The objects of an answer are those that were asked for.",
		edits: edits{snmpJudgeGo("if dotless(v.Name) != oids[i] {", "if false && dotless(v.Name) != oids[i] {")},
	},
	{
		name: "outlet-is-not-looked-at-again", rings: "snmp",
		rule:  "Device, strip and name are the ones that were learnt, in each reading.",
		edits: edits{snmpJudgeGo("if got := plain(v); got != c.want {", "if got := plain(v); false && got != c.want {")},
	},
	{
		name: "unknown-pending-is-none", rings: "snmp",
		rule:  "A pending command that cannot be read is not taken for none.",
		edits: edits{snmpJudgeGo("case ok && n == p.family.pendingNone:", "case n != p.family.pendingYes:")},
	},
	{
		name: "order-without-a-look", rings: "snmp",
		rule:  "An order goes only to an outlet that was seen to be the right one just before.",
		edits: edits{snmpOutletGo("if err := o.sure(ctx); err != nil {", "if err := o.sure(ctx); err != nil && o.plan == nil {")},
	},
	{
		name: "error-status-is-success", rings: "snmp",
		rule:  "An answer with an error status is an error.",
		edits: edits{snmpSessionGo("if reply.Error != gosnmp.NoError {", "if reply.Error == gosnmp.TooBig {")},
	},
	{
		name: "answer-without-a-request-id-counts", rings: "snmp",
		rule:  "An answer has the id of its request.",
		edits: edits{snmpSessionGo("case reply.RequestID == 0:", "case false:")},
	},
	{
		name: "request-is-its-own-answer", rings: "snmp",
		rule:  "Only a response is an answer.",
		edits: edits{snmpSessionGo("case reply.PDUType != gosnmp.GetResponse:", "case false:")},
	},
	{
		name: "two-of-a-name-are-one", rings: "snmp",
		rule:  "A name that two outlets have means none.",
		edits: edits{snmpLearnGo("if index != \"\" {\n\t\t\treturn \"\", fmt.Errorf(\"outlet %q: rows", "if false {\n\t\t\treturn \"\", fmt.Errorf(\"outlet %q: rows")},
	},
	{
		name: "row-of-a-chain-is-the-outlet", rings: "snmp",
		rule:  "In a chain the bare row of another strip's outlet is refused.",
		edits: edits{snmpLearnGo("if err == nil && index == selector && p.label() != index {", "if false && p.label() != index {")},
	},
	{
		name: "switches-none-is-no-matter", rings: "snmp",
		rule:  "A device that says that it switches no outlet is metered only.",
		edits: edits{snmpLearnGo("return !counts || n > 0, nil", "return !counts || n >= 0, nil")},
	},
	{
		name: "rpdu2-as-rpdu", rings: "snmp",
		rule:  "AP8xxx say 1 for off.",
		edits: edits{snmpTableGo("status: table + \"5\", isOn: 2, isOff: 1, depth: 1,", "status: table + \"5\", isOn: 1, isOff: 2, depth: 1,")},
	},
	{
		name: "msp-takes-two-for-off", rings: "snmp",
		rule:  "MasterSwitch Plus takes 3 for off; 2 is a delayed on.",
		edits: edits{snmpTableGo("off: order{apc + \"6.5.1.1.5\", 3},", "off: order{apc + \"6.5.1.1.5\", 2},")},
	},
	{
		name: "ibm-columns-are-not-told-apart", rings: "snmp",
		rule:  "IBM's firmware with renumbered columns is told by its name.",
		edits: edits{snmpTableGo("return (there && strings.Contains(text, m.word)) != m.not", "return true")},
	},
}
