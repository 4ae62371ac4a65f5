package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// decodeForms are the forms of decode's output that stand beside a capture, by the ending of the file.
var decodeForms = []struct {
	ending string
	flags  []string
}{{".txt", nil}, {".jsonl", []string{"--json"}}, {".ladder", []string{"--ladder"}}}

// TestDecodeCaptures: what decode says of the small captures in sim/decode/testdata/captures, in all its forms, with
// what it says on standard error and its exit status. The expected output was held against the RFCs by hand; the rules
// that it follows from are tests of sim/decode. A folder of the capture's name has its keys.
func TestDecodeCaptures(t *testing.T) {
	folder := filepath.Join("..", "..", "sim", "decode", "testdata", "captures")
	files, err := filepath.Glob(filepath.Join(folder, "*.pcap*"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d captures in %s, %v", len(files), folder, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			if info, err := os.Stat(filepath.Join(folder, name)); err == nil && info.IsDir() {
				keys = []string{"--keys", filepath.Join(folder, name)}
			}
			for _, form := range decodeForms {
				o := hereWith(t, string(raw), append(append([]string{"decode", "-"}, form.flags...), keys...)...)
				got := o.out
				if form.flags == nil {
					got += fmt.Sprintf("\n%sexit status %d\n", o.err, o.status)
				}
				golden := filepath.Join(folder, name+form.ending)
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(want, []byte(got)) {
					t.Errorf("%s (-want +got):\n%s", filepath.Base(golden), cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")))
				}
			}
		})
	}
}
