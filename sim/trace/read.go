package trace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// lineBytesMax bounds a line that is read back.
const lineBytesMax = 1 << 20

// KindTruncated is the kind of the last line of a trace that could not keep every record.
const KindTruncated = "trace-truncated"

// WriteJSONL writes the kept records, one canonical line each. Where some were not kept, a last line of the
// kind KindTruncated says how many and at what instant the kept ones end.
func (w *Writer) WriteJSONL(out io.Writer) error {
	buffered := bufio.NewWriter(out)
	var line []byte
	for _, r := range w.records {
		line = appendLine(line[:0], r)
		if _, err := buffered.Write(line); err != nil {
			return fmt.Errorf("trace: writing records: %w", err)
		}
	}
	if dropped := w.Dropped(); dropped > 0 {
		last := w.records[len(w.records)-1]
		line = appendLine(line[:0], Record{
			At:     last.At,
			Kind:   KindTruncated,
			Fields: []Field{Uint("not_kept", dropped)},
		})
		if _, err := buffered.Write(line); err != nil {
			return fmt.Errorf("trace: writing records: %w", err)
		}
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("trace: writing records: %w", err)
	}
	return nil
}

// Read calls use for each record of a trace in canonical lines, until use returns an error, which Read
// returns. A line that is not canonical is an error that names it: what reads back differently from how it was
// written cannot be compared.
func Read(in io.Reader, use func(Record) error) error {
	lines := newScanner(in)
	for n := 1; lines.Scan(); n++ {
		r, err := parseLine(lines.Bytes())
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("ends within the record")
		}
		if err != nil {
			return fmt.Errorf("trace: line %d: %w", n, err)
		}
		if again := appendLine(nil, r); !bytes.Equal(again[:len(again)-1], lines.Bytes()) {
			return fmt.Errorf("trace: line %d is not in canonical form; it should read %s", n, again[:len(again)-1])
		}
		if err := use(r); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}

func newScanner(in io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 0, 4096), lineBytesMax)
	s.Split(splitLines)
	return s
}

// splitLines is bufio.ScanLines without its leniency towards carriage returns, which a digest would not share.
func splitLines(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// parseLine reads one line. It goes token by token, because a map would lose the order of the fields.
func parseLine(line []byte) (Record, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var r Record
	expect := func(want json.Delim) error {
		t, err := d.Token()
		if err != nil {
			return err
		}
		if t != want {
			return fmt.Errorf("%v where %v should stand", t, want)
		}
		return nil
	}
	text := func() (string, error) {
		t, err := d.Token()
		if err != nil {
			return "", err
		}
		s, ok := t.(string)
		if !ok {
			return "", fmt.Errorf("%v where a string should stand", t)
		}
		return s, nil
	}
	key := func(want string) error {
		k, err := text()
		if err == nil && k != want {
			err = fmt.Errorf("key %q where %q should stand", k, want)
		}
		return err
	}
	if err := expect('{'); err != nil {
		return r, err
	}
	if err := key("at"); err != nil {
		return r, err
	}
	t, err := d.Token()
	if err != nil {
		return r, err
	}
	number, ok := t.(json.Number)
	if !ok {
		return r, fmt.Errorf("%v where nanoseconds should stand", t)
	}
	at, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil {
		return r, fmt.Errorf("%v is not a whole number of nanoseconds", number)
	}
	r.At = Dur(at)
	for _, member := range []struct {
		key  string
		into *string
	}{{"node", &r.Node}, {"kind", &r.Kind}} {
		if err := key(member.key); err != nil {
			return r, err
		}
		if *member.into, err = text(); err != nil {
			return r, err
		}
	}
	if err := key("fields"); err != nil {
		return r, err
	}
	if err := expect('{'); err != nil {
		return r, err
	}
	for d.More() {
		var f Field
		if f.Key, err = text(); err != nil {
			return r, err
		}
		if f.Value, err = text(); err != nil {
			return r, err
		}
		r.Fields = append(r.Fields, f)
	}
	if err := expect('}'); err != nil {
		return r, err
	}
	if err := expect('}'); err != nil {
		return r, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("something follows the record")
	}
	return r, nil
}

// Difference is where two traces part.
type Difference struct {
	// Line counts from 1.
	Line int
	// A and B are the lines without their newline; where a trace has ended, its line is empty.
	A, B string
}

// String shows both lines below each other.
func (d Difference) String() string {
	show := func(line string) string {
		if line == "" {
			return "(the trace has ended)"
		}
		return line
	}
	return fmt.Sprintf("the first difference is in line %d:\n  - %s\n  + %s", d.Line, show(d.A), show(d.B))
}

// FirstDifference compares two traces line by line and returns where they part, nil where they are equal.
func FirstDifference(a, b io.Reader) (*Difference, error) {
	linesA, linesB := newScanner(a), newScanner(b)
	for n := 1; ; n++ {
		moreA, moreB := linesA.Scan(), linesB.Scan()
		if err := errors.Join(linesA.Err(), linesB.Err()); err != nil {
			return nil, fmt.Errorf("trace: line %d: %w", n, err)
		}
		if !moreA && !moreB {
			return nil, nil
		}
		if moreA != moreB || !bytes.Equal(linesA.Bytes(), linesB.Bytes()) {
			d := &Difference{Line: n}
			if moreA {
				d.A = linesA.Text()
			}
			if moreB {
				d.B = linesB.Text()
			}
			return d, nil
		}
	}
}
