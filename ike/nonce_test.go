package ike

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
)

// TestNonceLength holds that a nonce that is too short for the PRF, or has a length that
// no nonce has, is answered or recorded with the reason, at either end (RFC 7296 §2.10).
func TestNonceLength(t *testing.T) {
	for _, tc := range []struct {
		prf   string
		bytes int
		want  string // part of the reason; "" when the nonce is good
	}{
		{"prfsha512", 16, "Nx has 16 octets; with prfsha512 it needs 32"},
		{"prfsha512", 31, "Nx has 31 octets; with prfsha512 it needs 32"},
		{"prfsha512", 32, ""},
		{"prfsha384", 23, "Nx has 23 octets; with prfsha384 it needs 24"},
		{"prfsha384", 24, ""},
		{"prfsha256", 16, ""},
		{"prfsha256", 256, ""},
	} {
		for _, response := range []bool{false, true} {
			n := liePair(t, wire.ExchangeIKESAInit, response, with(func(p *wire.Nonce) {
				for len(p.Data) < tc.bytes {
					p.Data = append(p.Data, 1)
				}
				p.Data = p.Data[:tc.bytes]
			}), "proposals aes256gcm16-"+tc.prf+"-x25519")
			a, b := n.node("a"), n.node("b")
			switch {
			case tc.want == "":
				// The liar computes with another nonce: that AUTH fails shows that it was taken.
				wantRecord(t, a, RecordSent, "")
			case response:
				wantRecord(t, a, RecordIKEFailed, strings.Replace(tc.want, "Nx", "Nr", 1))
			default:
				wantRecord(t, b, RecordIKEFailed, strings.Replace(tc.want, "Nx", "Ni", 1))
				wantRecord(t, a, RecordIKEFailed, "INVALID_SYNTAX")
			}
			if got := len(n.sent) > 2 && n.sent[2].info.Type == wire.ExchangeIKEAuth; got != (tc.want == "") {
				t.Errorf("%s, %d octets, in the response %v: IKE_AUTH follows is %v", tc.prf, tc.bytes, response, got)
			}
		}
	}
}

// TestNonceOfNoLength: a nonce below 16 or above 256 octets is told in the same way.
func TestNonceOfNoLength(t *testing.T) {
	for _, octets := range []int{0, 15, 257} {
		n := quietPair(t, "retransmit_tries 1", "retransmit_timeout 1s")
		n.deaf = true
		n.step(n.node("a"), Command{Kind: Initiate, Connection: "ike"})
		request := n.sent[0]
		request.payload = resizeNonce(t, request.first, octets)
		n.deliver(request)
		if got := sentBy(n, "b", wire.ExchangeIKESAInit, true); len(got) != 1 || got[0] != "N(INVALID_SYNTAX)" {
			t.Errorf("%d octets in the request: b answers %q", octets, got)
		}
		wantRecord(t, n.node("b"), RecordDropped, "Nonce Data")

		request.payload = []byte(string(request.first))
		n.deliver(request)
		response := n.sent[len(n.sent)-1]
		response.payload = resizeNonce(t, response.first, octets)
		n.deliver(response)
		n.advance(10 * time.Second)
		wantRecord(t, n.node("a"), RecordIKEFailed, "Nonce Data")
	}
}

// resizeNonce gives a message's nonce another length, which package wire would not write.
func resizeNonce(t *testing.T, b []byte, octets int) []byte {
	t.Helper()
	next, at := wire.PayloadType(b[16]), 28
	for next != wire.PayloadNonce {
		next, at = wire.PayloadType(b[at]), at+int(binary.BigEndian.Uint16(b[at+2:]))
	}
	end := at + int(binary.BigEndian.Uint16(b[at+2:]))
	out := append([]byte(nil), b[:at+4]...)
	binary.BigEndian.PutUint16(out[at+2:], uint16(4+octets))
	out = append(out, make([]byte, octets)...)
	out = append(out, b[end:]...)
	binary.BigEndian.PutUint32(out[24:], uint32(len(out)))
	return out
}
