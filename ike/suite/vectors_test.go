package suite

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// octets is an octet string that testdata writes in hexadecimal.
type octets []byte

func (o *octets) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*o = b
	return err
}

// vectors reads the published vectors of testdata/name. Every file says where
// its numbers come from.
func vectors[T any](t testing.TB, name string) []T {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Source, Licence string
		Vectors         []T
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if file.Source == "" || file.Licence == "" || len(file.Vectors) == 0 {
		t.Fatalf("%s lacks its source, its licence or its vectors", name)
	}
	return file.Vectors
}

// unhex reads hexadecimal with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// transform is the transform of a keyword that must exist.
func transform(t testing.TB, keyword string) Transform {
	t.Helper()
	x, ok := transformOf(keyword)
	if !ok {
		t.Fatalf("no keyword %q", keyword)
	}
	return x
}

// ramp is n octets counting up from first.
func ramp(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}
