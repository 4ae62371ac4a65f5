package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadmeShowsWhatIsPrinted holds the README's picture of a run to a run.
func TestReadmeShowsWhatIsPrinted(t *testing.T) {
	path := filepath.Join("..", "..", "README.md")
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o := here(t, "run", example("first-tunnel"))
	if o.status != exitOK {
		t.Fatal(o.err)
	}
	ladder, rest, ok := bytes.Cut([]byte(o.out), []byte("\n\nconnections\n"))
	_, ladder, found := bytes.Cut(ladder, []byte("\n\n"))
	if !ok || !found {
		t.Fatalf("the output has no section of that name:\n%s", o.out)
	}
	now := readme
	for _, block := range [][]byte{append(ladder, '\n'), append([]byte("connections\n"), rest...)} {
		first, _, _ := bytes.Cut(block, []byte("\n"))
		open := append(append([]byte("```\n"), first...), '\n')
		begin := bytes.Index(now, open)
		if begin < 0 {
			t.Fatalf("README.md has no block that begins with %q", first)
		}
		begin += len("```\n")
		end := bytes.Index(now[begin:], []byte("```\n"))
		if end < 0 {
			t.Fatalf("README.md: the block of %q does not end", first)
		}
		now = bytes.Join([][]byte{now[:begin], block, now[begin+end:]}, nil)
	}
	if *update {
		if err := os.WriteFile(path, now, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(readme), string(now)); diff != "" {
		t.Errorf("README.md (-written +printed); make golden rewrites it:\n%s", diff)
	}
}

// TestReadmePictureIsDrawn holds the README's picture of the first lab to what graph draws.
func TestReadmePictureIsDrawn(t *testing.T) {
	path := filepath.Join("..", "..", "examples", "first-tunnel.svg")
	o := here(t, "graph", example("first-tunnel"))
	if o.status != exitOK {
		t.Fatal(o.err)
	}
	if *update {
		if err := os.WriteFile(path, []byte(o.out), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	picture, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(picture), o.out); diff != "" {
		t.Errorf("%s (-written +drawn); make golden rewrites it:\n%s", path, diff)
	}
}
