package trace

import (
	"crypto/sha256"
	"hash"
	"io"
)

// RecordsMax is how many records a Writer keeps where its options do not say.
const RecordsMax = 1 << 18

// Options of a Writer. The zero value is useful.
type Options struct {
	// RecordsMax bounds the records that are kept for Records and WriteJSONL, 0 for the constant RecordsMax.
	// The first ones are kept: what went wrong begins there.
	RecordsMax int
	// Sink, if not nil, receives every line as it is added, also those beyond RecordsMax. The first error of
	// a write stops further writes and is returned by Err.
	Sink io.Writer
}

// Writer takes the records of a run in order. It is not safe for concurrent use.
type Writer struct {
	opt     Options
	hash    hash.Hash
	records []Record
	count   uint64
	line    []byte // reused
	err     error
}

// NewWriter returns an empty trace.
func NewWriter(opt Options) *Writer {
	if opt.RecordsMax <= 0 {
		opt.RecordsMax = RecordsMax
	}
	return &Writer{opt: opt, hash: sha256.New()}
}

// Add appends a record. The writer keeps the record's Fields.
func (w *Writer) Add(r Record) {
	w.line = appendLine(w.line[:0], r)
	w.hash.Write(w.line)
	if w.opt.Sink != nil && w.err == nil {
		_, w.err = w.opt.Sink.Write(w.line)
	}
	if len(w.records) < w.opt.RecordsMax {
		w.records = append(w.records, r)
	}
	w.count++
}

// Count returns how many records were added.
func (w *Writer) Count() uint64 { return w.count }

// Dropped returns how many of them are digested but no longer kept.
func (w *Writer) Dropped() uint64 { return w.count - uint64(len(w.records)) }

// Records returns the kept records in order. They belong to the writer.
func (w *Writer) Records() []Record { return w.records }

// Digest returns SHA-256 over the canonical lines of all records added so far, kept or not.
func (w *Writer) Digest() [sha256.Size]byte {
	return [sha256.Size]byte(w.hash.Sum(nil))
}

// Err returns the first error of writing to the sink.
func (w *Writer) Err() error { return w.err }
