//go:build !linux

package main

import "os"

func main() {
	_, _ = os.Stderr.WriteString("benchdataplane: network namespaces and TUN devices as it needs them are Linux's; run it there\n")
	os.Exit(3)
}
