//go:build !linux

package main

import (
	"context"
	"fmt"
	"runtime"
)

// hostProbes are the capabilities of a host that is not Linux: labs run in virtual time, nothing else does.
func hostProbes() []probe {
	return []probe{{
		name: "network-namespaces",
		what: forNetns,
		cure: "a Linux host",
		try: func(context.Context) (string, error) {
			return "", fmt.Errorf("%s has none", runtime.GOOS)
		},
	}}
}
