package screen

import (
	"bytes"
	"io"
	"os"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A Writer passes text on without what would act on a terminal: each control character, bidirectional override and byte
// that is not UTF-8 becomes U+FFFD. A character that is cut by the end of a Write waits for the next one, or for Close.
// It is safe for concurrent use.
type Writer struct {
	w       io.Writer
	colours bool
	mu      sync.Mutex
	waiting []byte // the beginning of a character or colour, shorter than the longest of them
}

// New returns a Writer in front of w. With colours it lets those of ikelab's reports through.
func New(w io.Writer, colours bool) *Writer { return &Writer{w: w, colours: colours} }

// Raw returns what is behind a Writer, and any other writer as it is.
func Raw(w io.Writer) io.Writer {
	if s, ok := w.(*Writer); ok {
		return s.w
	}
	return w
}

// File returns the file behind a stream, nil if there is none.
func File(stream any) *os.File {
	if s, ok := stream.(*Writer); ok {
		stream = s.w
	}
	f, _ := stream.(*os.File)
	return f
}

// colours are the sequences with which reports, diagnostics and doctor switch colours on and off.
var colours = [][]byte{
	[]byte("\x1b[m"), []byte("\x1b[0m"), []byte("\x1b[1m"), []byte("\x1b[2m"),
	[]byte("\x1b[31m"), []byte("\x1b[32m"), []byte("\x1b[1;31m"), []byte("\x1b[1;33m"),
}

var replacement = []byte(string(utf8.RuneError))

// Write implements io.Writer.
func (s *Writer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := b
	if len(s.waiting) > 0 {
		text = append(s.waiting, b...)
		s.waiting = nil
	}
	clean, rest := s.filter(text)
	s.waiting = bytes.Clone(rest)
	if _, err := s.w.Write(clean); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close writes what still waits. It does not close what is behind.
func (s *Writer) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return nil
	}
	s.waiting = nil
	_, err := s.w.Write(replacement)
	return err
}

// plain says of a byte that it stands for itself on a terminal.
var plain = func() (is [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		is[c] = true
	}
	is['\n'], is['\t'] = true, true
	return is
}()

// filter returns the text as it may be shown, and an end of it that needs more to be judged. Text that is clean is
// returned as it is.
func (s *Writer) filter(text []byte) (clean, rest []byte) {
	var out []byte
	copied := 0 // of text, into out
	for i := 0; i < len(text); {
		if plain[text[i]] {
			i++
			continue
		}
		n, ok, whole := s.character(text[i:])
		if !whole {
			rest, text = text[i:], text[:i]
			break
		}
		if !ok {
			out = append(append(out, text[copied:i]...), replacement...)
			copied = i + n
		}
		i += n
	}
	if copied == 0 {
		return text, rest
	}
	return append(out, text[copied:]...), rest
}

// character judges what the text begins with: its length, whether it may be shown, and whether the text has all of it.
func (s *Writer) character(text []byte) (n int, ok, whole bool) {
	if text[0] == '\x1b' && s.colours {
		for _, c := range colours {
			switch {
			case bytes.HasPrefix(text, c):
				return len(c), true, true
			case bytes.HasPrefix(c, text):
				return 0, false, false
			}
		}
		return 1, false, true
	}
	if !utf8.FullRune(text) {
		return 0, false, false
	}
	r, n := utf8.DecodeRune(text)
	return n, Visible(r) && (r != utf8.RuneError || n > 1), true
}

// Visible says that a character can stand in a line of text as it is: it is no control character, and none that changes
// the direction of what follows, so that a line reads as it was written.
func Visible(r rune) bool {
	return !unicode.IsControl(r) && !unicode.Is(unicode.Bidi_Control, r) && r != '\u2028' && r != '\u2029'
}

// JSON returns a writer for JSON documents in front of w. Where a string has a character that would act on a terminal
// it writes an escape, \u009b for example, which means the same to whoever reads the document (RFC 8259 §7).
func JSON(w io.Writer) io.Writer { return jsonWriter{w} }

type jsonWriter struct{ w io.Writer }

// Write implements io.Writer. An encoder writes whole characters.
func (j jsonWriter) Write(b []byte) (int, error) {
	if _, err := j.w.Write(EscapeJSON(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// EscapeJSON returns a JSON document with the characters of its strings escaped that would act on a terminal. One that
// has none is returned as it is.
func EscapeJSON(b []byte) []byte {
	var out []byte
	copied := 0
	for i := 0; i < len(b); {
		if b[i] < 0x7f { // what is below a space is a line end, or escaped already
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if !Visible(r) {
			const digits = "0123456789abcdef"
			out = append(append(out, b[copied:i]...), '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
			copied = i + n
		}
		i += n
	}
	if copied == 0 {
		return b
	}
	return append(out, b[copied:]...)
}
