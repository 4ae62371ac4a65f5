package trace

import (
	"encoding/hex"
	"strconv"
	"time"
)

// Dur is an instant as the time since the lab's epoch, in nanoseconds.
type Dur = time.Duration

// Field is one fact of a record. Keys are unique within a record and keep their order. Values are text;
// numbers are written in decimal and bytes in hexadecimal, as the constructors below do.
//
// Its shape is that of the fields in other rooms' events, so that one converts to the other.
type Field struct {
	Key   string
	Value string
}

// Uint makes a field of a number.
func Uint[T ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](key string, v T) Field {
	return Field{key, strconv.FormatUint(uint64(v), 10)}
}

// Int makes a field of a number.
func Int[T ~int | ~int8 | ~int16 | ~int32 | ~int64](key string, v T) Field {
	return Field{key, strconv.FormatInt(int64(v), 10)}
}

// Bool makes a field of "true" or "false".
func Bool(key string, v bool) Field { return Field{key, strconv.FormatBool(v)} }

// Bytes makes a field of lower-case hexadecimal digits.
func Bytes(key string, v []byte) Field { return Field{key, hex.EncodeToString(v)} }

// Record is one thing that happened.
type Record struct {
	// At is when, since the lab's epoch.
	At Dur
	// Node is where: a node's name, or empty for the run itself.
	Node string
	// Kind is what, for example "ike-established".
	Kind string
	// Fields are the particulars, in the order in which they read best. A key that repeats is written with
	// its occurrence behind it: "spi", "spi#2".
	Fields []Field
}
