package screen

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWriter(t *testing.T) {
	const esc = "\x1b"
	for _, c := range []struct{ name, in, plain, coloured string }{
		{"text", "gw-a → gw-b\tété\n", "gw-a → gw-b\tété\n", "gw-a → gw-b\tété\n"},
		{"a colour of ours", esc + "[32mpass" + esc + "[m", "�[32mpass�[m", esc + "[32mpass" + esc + "[m"},
		{"a window's name", esc + "]0;pwned\x07", "�]0;pwned�", "�]0;pwned�"},
		{"a moving cursor", esc + "[2J" + esc + "[1;1H", "�[2J�[1;1H", "�[2J�[1;1H"},
		{"carriage return and backspace", "FAIL\rpass\b\b", "FAIL�pass��", "FAIL�pass��"},
		{"delete", "a\x7fb", "a�b", "a�b"},
		{"C1 as UTF-8", "\u009b2J", "�2J", "�2J"},
		{"C1 as a byte", "\x9b2J", "�2J", "�2J"},
		{"a right-to-left override", "a\u202eb\u2066c", "a�b�c", "a�b�c"},
		{"half a character", "a\xe2\x86", "a�", "a�"},
		{"half a colour", "a" + esc + "[3", "a�[3", "a�"},
		{"an escape at the end", "a" + esc, "a�", "a�"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, colours := range []bool{false, true} {
				want := c.plain
				if colours {
					want = c.coloured
				}
				// However the text is cut into writes, the same comes out.
				for cut := range len(c.in) + 1 {
					var out bytes.Buffer
					w := New(&out, colours)
					for _, part := range []string{c.in[:cut], c.in[cut:]} {
						if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
							t.Fatalf("Write(%q) = %d, %v", part, n, err)
						}
					}
					if err := w.Close(); err != nil {
						t.Fatal(err)
					}
					if out.String() != want {
						t.Errorf("colours %v, cut at %d: %q, want %q", colours, cut, out.String(), want)
					}
				}
			}
		})
	}
}

// TestJSON: a document means the same, and a terminal sees nothing of it.
func TestJSON(t *testing.T) {
	want := map[string]string{"a": "\x1b[2J \x7f \u009b2J \u202e \u2028 → é", "b": "plain"}
	var out bytes.Buffer
	enc := json.NewEncoder(JSON(&out))
	enc.SetEscapeHTML(false)
	if err := enc.Encode(want); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got["a"] != want["a"] || got["b"] != want["b"] {
		t.Errorf("%q, want %q", got, want)
	}
	for _, r := range out.String() {
		if r != '\n' && !Visible(r) {
			t.Errorf("%U reaches a terminal: %s", r, out.String())
		}
	}
	if !strings.Contains(out.String(), "→ é") {
		t.Errorf("what can be seen is escaped: %s", out.String())
	}
}

// FuzzWriter holds what the package promises of any text, in any two pieces.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("FAIL\r\x1b[2Jpass\u009b\n"), 3)
	f.Add([]byte("\x1b[1;31mFAIL\x1b[m \xff\xc2"), 2)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		cut = min(max(cut, 0), len(text))
		var whole, pieces bytes.Buffer
		w, p := New(&whole, false), New(&pieces, false)
		for _, part := range [][]byte{text[:cut], text[cut:]} {
			_, _ = p.Write(part) // a buffer takes everything
		}
		_, _ = w.Write(text)
		_, _ = w.Close(), p.Close()
		if !bytes.Equal(whole.Bytes(), pieces.Bytes()) {
			t.Fatalf("%q at once, %q cut at %d", whole.Bytes(), pieces.Bytes(), cut)
		}
		if !utf8.Valid(whole.Bytes()) {
			t.Fatalf("%q is not UTF-8", whole.Bytes())
		}
		for _, r := range whole.String() {
			if r != '\n' && r != '\t' && !Visible(r) {
				t.Fatalf("%U got through", r)
			}
		}
	})
}
