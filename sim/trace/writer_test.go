package trace

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// The canonical form is frozen: a change here changes every digest.
func TestCanonicalLines(t *testing.T) {
	tests := []struct {
		name   string
		record Record
		want   string
	}{
		{
			"a record",
			Record{At: 1500 * time.Millisecond, Node: "gw-a", Kind: "ike-established", Fields: []Field{
				{"connection", "to-b"}, Uint("message_id", uint32(1)), Int("offset", -3), Bool("encap", true), Bytes("spi", []byte{0, 0xff}),
			}},
			`{"at":1500000000,"node":"gw-a","kind":"ike-established","fields":{"connection":"to-b","message_id":"1","offset":"-3","encap":"true","spi":"00ff"}}`,
		},
		{"nothing", Record{}, `{"at":0,"node":"","kind":"","fields":{}}`},
		{"the ends of time", Record{At: math.MinInt64}, `{"at":-9223372036854775808,"node":"","kind":"","fields":{}}`},
		{"keys keep their order and may repeat", Record{Fields: []Field{{"b", "1"}, {"a", "2"}, {"b", "3"}, {"b", "4"}}},
			`{"at":0,"node":"","kind":"","fields":{"b":"1","a":"2","b#2":"3","b#3":"4"}}`},
		{"only what must be escaped is", Record{Kind: "\"\\/<>&\x00\x1f\x7f\n äö€\u2028"},
			`{"at":0,"node":"","kind":"\"\\/<>&\u0000\u001f` + "\x7f" + `\u000a äö€` + "\u2028" + `","fields":{}}`},
		{"what is not UTF-8 is replaced", Record{Kind: "a\xffb\xc3"}, `{"at":0,"node":"","kind":"a�b�","fields":{}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want+"\n", string(appendLine(nil, test.record))); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
		})
	}
}

func drawRecord(t *rapid.T) Record {
	r := Record{
		At:   Dur(rapid.Int64().Draw(t, "at")),
		Node: rapid.String().Draw(t, "node"),
		Kind: rapid.String().Draw(t, "kind"),
	}
	keys := rapid.SliceOfNDistinct(rapid.String(), 0, 5, rapid.ID).Draw(t, "keys")
	for _, k := range keys {
		r.Fields = append(r.Fields, Field{k, rapid.String().Draw(t, "value")})
	}
	return r
}

// What was written reads back as it was, and encoding/json agrees that it is JSON.
func TestRecordsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(rapid.Custom(drawRecord), 0, 10).Draw(t, "records")
		w := NewWriter(Options{})
		for _, r := range records {
			w.Add(r)
		}
		var file bytes.Buffer
		if err := w.WriteJSONL(&file); err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(file.Bytes()); sum != w.Digest() {
			t.Fatal("the digest is not SHA-256 of the file")
		}
		for line := range bytes.Lines(file.Bytes()) {
			if !json.Valid(line) {
				t.Fatalf("not JSON: %s", line)
			}
		}
		var got []Record
		if err := Read(&file, func(r Record) error { got = append(got, r); return nil }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(records, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("records (-written +read):\n%s", diff)
		}
	})
}

// Any change of any record changes the digest.
func TestDigestCoversEverything(t *testing.T) {
	digest := func(records ...Record) [32]byte {
		w := NewWriter(Options{})
		for _, r := range records {
			w.Add(r)
		}
		return w.Digest()
	}
	base := Record{At: 1, Node: "a", Kind: "k", Fields: []Field{{"x", "1"}, {"y", "2"}}}
	want := digest(base, base)
	for name, got := range map[string][32]byte{
		"time":            digest(base, Record{At: 2, Node: "a", Kind: "k", Fields: base.Fields}),
		"node":            digest(base, Record{At: 1, Node: "b", Kind: "k", Fields: base.Fields}),
		"kind":            digest(base, Record{At: 1, Node: "a", Kind: "l", Fields: base.Fields}),
		"order of fields": digest(base, Record{At: 1, Node: "a", Kind: "k", Fields: []Field{{"y", "2"}, {"x", "1"}}}),
		"a field less":    digest(base, Record{At: 1, Node: "a", Kind: "k", Fields: base.Fields[:1]}),
		"a record less":   digest(base),
		"a record more":   digest(base, base, base),
	} {
		if got == want {
			t.Errorf("%s: the digest does not change", name)
		}
	}
	if got := digest(base, base); got != want {
		t.Error("the same records have another digest")
	}
	// What sha256sum prints for the one line.
	d := digest(base)
	if got, want := hex.EncodeToString(d[:]), "f7ee1b98e299a0ab96c0250c18da9c80583117a73a0f55e852fd2147e4aea219"; got != want {
		t.Errorf("digest %s; it is frozen as %s", got, want)
	}
}

// Beyond its bound the writer keeps the first records, digests all and hands all to the sink.
func TestWriterIsBounded(t *testing.T) {
	var sink bytes.Buffer
	bounded, unbounded := NewWriter(Options{RecordsMax: 3, Sink: &sink}), NewWriter(Options{})
	for i := range 10 {
		r := Record{At: Dur(i), Kind: "k"}
		bounded.Add(r)
		unbounded.Add(r)
	}
	if bounded.Count() != 10 || bounded.Dropped() != 7 || len(bounded.Records()) != 3 {
		t.Errorf("count %d, dropped %d, kept %d; want 10, 7, 3", bounded.Count(), bounded.Dropped(), len(bounded.Records()))
	}
	if bounded.Digest() != unbounded.Digest() || sha256.Sum256(sink.Bytes()) != bounded.Digest() {
		t.Error("the digest or the sink misses what is not kept")
	}
	var file strings.Builder
	if err := bounded.WriteJSONL(&file); err != nil {
		t.Fatal(err)
	}
	want := `{"at":0,"node":"","kind":"k","fields":{}}
{"at":1,"node":"","kind":"k","fields":{}}
{"at":2,"node":"","kind":"k","fields":{}}
{"at":2,"node":"","kind":"trace-truncated","fields":{"not_kept":"7"}}
`
	if diff := cmp.Diff(want, file.String()); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestWriterReportsErrors(t *testing.T) {
	full := errors.New("no space left on device")
	w := NewWriter(Options{Sink: brokenWriter{full}})
	w.Add(Record{})
	w.Add(Record{})
	if !errors.Is(w.Err(), full) || w.Count() != 2 {
		t.Errorf("error %v after %d records", w.Err(), w.Count())
	}
	if err := w.WriteJSONL(brokenWriter{full}); !errors.Is(err, full) {
		t.Errorf("WriteJSONL: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	const good = `{"at":1,"node":"a","kind":"k","fields":{"x":"1"}}`
	tests := []struct{ name, line, want string }{
		{"spaces", `{"at": 1,"node":"a","kind":"k","fields":{}}`, `trace: line 2 is not in canonical form; it should read {"at":1,"node":"a","kind":"k","fields":{}}`},
		{"an escape that is not needed", `{"at":1,"node":"\u0061","kind":"k","fields":{}}`, `trace: line 2 is not in canonical form; it should read {"at":1,"node":"a","kind":"k","fields":{}}`},
		{"another order", `{"node":"a","at":1,"kind":"k","fields":{}}`, `trace: line 2: key "node" where "at" should stand`},
		{"a fraction", `{"at":1.5,"node":"a","kind":"k","fields":{}}`, `trace: line 2: 1.5 is not a whole number of nanoseconds`},
		{"text for a time", `{"at":"1","node":"a","kind":"k","fields":{}}`, `trace: line 2: 1 where nanoseconds should stand`},
		{"a number for a value", `{"at":1,"node":"a","kind":"k","fields":{"x":1}}`, `trace: line 2: 1 where a string should stand`},
		{"something behind", good + good, `trace: line 2: something follows the record`},
		{"a list", `[]`, `trace: line 2: [ where { should stand`},
		{"an end", `{"at":1`, `trace: line 2: ends within the record`},
		{"an empty line", ``, `trace: line 2: ends within the record`},
		{"a carriage return", good + "\r", "trace: line 2 is not in canonical form; it should read " + good},
		{"a repeated key", `{"at":1,"node":"a","kind":"k","fields":{"x":"1","x":"2"}}`, `trace: line 2 is not in canonical form; it should read {"at":1,"node":"a","kind":"k","fields":{"x":"1","x#2":"2"}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if err := Read(strings.NewReader(good+"\n"+test.line+"\n"), func(Record) error { return nil }); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	stop := errors.New("enough")
	if err := Read(strings.NewReader(good), func(Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the caller's error is %v", err)
	}
	if err := Read(strings.NewReader(strings.Repeat("x", lineBytesMax+1)), nil); err == nil {
		t.Error("a line without an end is accepted")
	}
}

func TestFirstDifference(t *testing.T) {
	tests := []struct {
		name, a, b string
		want       *Difference
	}{
		{"equal", "x\ny\n", "x\ny\n", nil},
		{"both empty", "", "", nil},
		{"a line", "x\ny\nz\n", "x\nY\nz\n", &Difference{Line: 2, A: "y", B: "Y"}},
		{"the first one ends", "x\n", "x\ny\n", &Difference{Line: 2, B: "y"}},
		{"the second one ends", "x\ny\n", "x\n", &Difference{Line: 2, A: "y"}},
		{"one is empty", "", "x\n", &Difference{Line: 1, B: "x"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := FirstDifference(strings.NewReader(test.a), strings.NewReader(test.b))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("difference (-want +got):\n%s", diff)
			}
		})
	}
	got := Difference{Line: 3, A: "x"}.String()
	if want := "the first difference is in line 3:\n  - x\n  + (the trace has ended)"; got != want {
		t.Errorf("shown as %q; want %q", got, want)
	}
}

// FuzzRead: what is accepted is canonical, so writing it again gives the same bytes.
func FuzzRead(f *testing.F) {
	for _, line := range []string{
		"",
		`{"at":0,"node":"","kind":"","fields":{}}`,
		`{"at":-1,"node":"gw-a","kind":"ike-established","fields":{"a":"\u001f\"\\","b#2":"ä"}}` + "\n" + `{"at":1,"node":"","kind":"","fields":{}}`,
		`{"at":01,"node":"","kind":"","fields":{}}`,
		`{"at":1e3,"node":"\ud800","kind":"","fields":{"x":null}}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		var again []byte
		err := Read(bytes.NewReader(file), func(r Record) error {
			again = appendLine(again, r)
			return nil
		})
		if err != nil {
			return
		}
		// A last line without its newline is forgiven.
		if !bytes.Equal(bytes.TrimSuffix(file, []byte("\n")), bytes.TrimSuffix(again, []byte("\n"))) {
			t.Fatalf("%q is accepted and written as %q", file, again)
		}
	})
}
