//go:build !lite && !no_agent && !no_chips && !no_http && !no_ipmi && !no_redfish && !no_snmp && !no_ssh && !no_virtual

package agent

// buildName is how an error calls this build.
const buildName = "full"
