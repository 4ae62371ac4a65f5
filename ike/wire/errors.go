package wire

import "fmt"

// ParseError says where and why octets are not IKEv2. A machine answers it with
// INVALID_SYNTAX where RFC 7296 §2.21 lets it answer at all.
type ParseError struct {
	Offset  int         // octets from the start of the slice given to the parser
	Payload PayloadType // the payload the octets belong to, PayloadNone for the header or the chain
	Field   string      // the field's name in the RFC
	Reason  string      // what is wrong and what would be right
}

// Error names the payload, the field and the octet.
func (e *ParseError) Error() string {
	place := "message"
	if e.Payload != PayloadNone {
		place = e.Payload.String() + " payload"
	}
	return fmt.Sprintf("IKE %s, octet %d, %s: %s", place, e.Offset, e.Field, e.Reason)
}

// EncodeError says why a value cannot be written: a field that is out of range
// or that contradicts another.
type EncodeError struct {
	Payload PayloadType // PayloadNone for the header or the chain
	Field   string
	Reason  string
}

// Error names the payload and the field.
func (e *EncodeError) Error() string {
	place := "message"
	if e.Payload != PayloadNone {
		place = e.Payload.String() + " payload"
	}
	return fmt.Sprintf("cannot write IKE %s, %s: %s", place, e.Field, e.Reason)
}

// UnsupportedCriticalError reports a payload of unknown type whose critical bit
// is set. RFC 7296 §2.5 has the whole message rejected and a request answered
// with UNSUPPORTED_CRITICAL_PAYLOAD, whose data is the one octet Payload.
type UnsupportedCriticalError struct {
	Payload PayloadType
	Offset  int // of the payload's generic header, octets from the start of the slice given to the parser
}

// Error names the payload type and its place.
func (e *UnsupportedCriticalError) Error() string {
	return fmt.Sprintf("IKE message, octet %d: payload type %d is critical and unknown; answer a request with UNSUPPORTED_CRITICAL_PAYLOAD",
		e.Offset, uint8(e.Payload))
}

// VersionError reports a message whose major version is not 2. RFC 7296 §2.5 has
// a higher version answered with INVALID_MAJOR_VERSION; version 1 is IKEv1.
type VersionError struct {
	Major, Minor uint8
}

// Error names the version that was received.
func (e *VersionError) Error() string {
	return fmt.Sprintf("IKE message has version %d.%d; this implementation speaks 2.0 (RFC 7296)", e.Major, e.Minor)
}
