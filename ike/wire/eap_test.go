package wire

import "testing"

func TestEAP(t *testing.T) {
	roundTrip(t, []roundTripCase{
		{"identity request", &EAP{Code: EAPRequest, Identifier: 7, Data: []byte{1}}, "01 07 0005 01", "EAP(Request)"},
		{"identity response", &EAP{Code: EAPResponse, Identifier: 7, Data: []byte{1, 'a'}}, "02 07 0006 01 61", "EAP(Response)"},
		{"success", &EAP{Code: EAPSuccess, Identifier: 8}, "03 08 0004", "EAP(Success)"},
		{"failure", &EAP{Code: EAPFailure, Identifier: 8}, "04 08 0004", "EAP(Failure)"},
		{"unknown code", &EAP{Code: 5, Data: []byte{9}}, "05 00 0005 09", "EAP(code 5)"},
	})
	refuse(t, PayloadEAP, []refusal{
		{"cut", "01 07 00", "EAP Message", 4},
		{"length above the payload", "01 07 0006 01", "EAP Length", 6},
		{"length below the payload", "01 07 0004 01", "EAP Length", 6},
		{"request without a type", "01 07 0004", "EAP Type", 8},
		{"success with data", "03 07 0005 01", "EAP Type", 8},
	})
	refuseToWrite(t, []unwritable{
		{"request without a type", &EAP{Code: EAPRequest}, "EAP Type"},
		{"failure with data", &EAP{Code: EAPFailure, Data: []byte{1}}, "EAP Type"},
		{"64 KiB", &EAP{Code: EAPRequest, Data: make([]byte, 65532)}, "EAP Length"},
	})
}
