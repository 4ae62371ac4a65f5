package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// pathMTULabs are labs whose packets are longer than their paths, each with the variables that it is run with.
var pathMTULabs = []struct {
	name     string
	variants []string
}{
	{"echo", []string{"v6=true", "v6=false", "size=3000", "v6=false size=3000"}},
	{"own", []string{"v6=true", "v6=true encap=true", "v6=true trap=true", "v6=false", "v6=false encap=true", "v6=false trap=true"}},
	{"fragment", []string{"path=1400", "encap=true", "path=1280", "encap=true path=1300"}},
	{"hole", []string{"path=1400", "path=1280", "path=576", "path=500"}},
	{"dualstack", []string{"encap=false", "encap=true"}},
	{"narrow", []string{"mtu=300", "mtu=1280", "reorder=0"}},
	{"hosts", []string{"v6=true", "v6=true encap=true path=1280", "v6=false", "v6=false encap=true path=576", "v6=false path=400"}},
	{"nested", []string{"encap=false", "encap=true"}},
}

// pathMTUArgs are run's arguments for a lab and its variables.
func pathMTUArgs(lab, variables string) []string {
	args := []string{"run", filepath.Join("testdata", "pathmtu", lab+".hcl")}
	for _, v := range strings.Fields(variables) {
		args = append(args, "--var", v)
	}
	return args
}

// TestPathMTULabs: every size passes where a path is narrow, at the price of the packets that a router reports about.
func TestPathMTULabs(t *testing.T) {
	for _, lab := range pathMTULabs {
		for _, v := range lab.variants {
			t.Run(lab.name+" "+v, func(t *testing.T) {
				if o := here(t, pathMTUArgs(lab.name, v)...); o.status != exitOK {
					t.Errorf("status %d\n%s\n%s", o.status, o.out, o.err)
				}
			})
		}
	}
}
