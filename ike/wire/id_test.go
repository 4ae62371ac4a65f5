package wire

import "testing"

func TestID(t *testing.T) {
	roundTrip(t, []roundTripCase{
		{"IPv4", &ID{Kind: PayloadIDi, IDType: IDTypeIPv4Addr, Data: []byte{10, 1, 2, 3}}, "01 000000 0a010203", "IDi(10.1.2.3)"},
		{
			"IPv6", &ID{Kind: PayloadIDr, IDType: IDTypeIPv6Addr, Data: []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}},
			"05 000000 20010db8000000000000000000000001", "IDr(2001:db8::1)",
		},
		{"FQDN", &ID{Kind: PayloadIDr, IDType: IDTypeFQDN, Data: []byte("gw.example")}, "02 000000 67772e6578616d706c65", "IDr(gw.example)"},
		{"FQDN that could forge a line", &ID{Kind: PayloadIDi, IDType: IDTypeFQDN, Data: []byte("a\nb")}, "02 000000 610a62", `IDi("a\nb")`},
		{"mail address", &ID{Kind: PayloadIDi, IDType: IDTypeRFC822Addr, Data: []byte("a@b")}, "03 000000 614062", "IDi(a@b)"},
		{"printable key ID", &ID{Kind: PayloadIDi, IDType: IDTypeKeyID, Data: []byte("k1")}, "0b 000000 6b31", "IDi(keyid:k1)"},
		{"binary key ID", &ID{Kind: PayloadIDi, IDType: IDTypeKeyID, Data: []byte{0, 0xff}}, "0b 000000 00ff", "IDi(keyid:0x00ff)"},
		{"null", &ID{Kind: PayloadIDi, IDType: IDTypeNull, Data: nil}, "0d 000000", "IDi(%null)"},
		{"unknown type", &ID{Kind: PayloadIDi, IDType: 200, Data: []byte{1}}, "c8 000000 01", "IDi(ID_200:0x01)"},
		{
			"distinguished name", &ID{Kind: PayloadIDi, IDType: IDTypeDERASN1DN, Data: unhex(t, "301b 310b300906035504061302 4348 310c300a06035504030c03 612c62")},
			"09 000000 301b310b3009060355040613024348310c300a06035504030c03612c62", `IDi(C=CH, CN=a\,b)`,
		},
		{
			"distinguished name with several values, an unknown attribute and no string",
			&ID{Kind: PayloadIDr, IDType: IDTypeDERASN1DN, Data: unhex(t, "301a 3118 300806032a03041301 78 300c06035504 0a0405 0102030405")},
			"09 000000 301a3118300806032a0304130178300c060355040a04050102030405", "IDr(1.2.3.4=x+O=#04050102030405)",
		},
		{"broken name", &ID{Kind: PayloadIDi, IDType: IDTypeDERASN1DN, Data: []byte{0x30, 5}}, "09 000000 3005", "IDi(ID_DER_ASN1_DN:0x3005)"},
	})
	refuse(t, PayloadIDi, []refusal{
		{"cut", "01 0000", "ID Type", 4},
		{"IPv4 of 3 octets", "01 000000 0a0101", "Identification Data", 8},
		{"IPv6 of 4 octets", "05 000000 0a010101", "Identification Data", 8},
		{"empty FQDN", "02 000000", "Identification Data", 8},
	})
	refuseToWrite(t, []unwritable{
		{"without a kind", &ID{IDType: IDTypeNull}, "Kind"},
		{"IPv4 of 5 octets", &ID{Kind: PayloadIDi, IDType: IDTypeIPv4Addr, Data: make([]byte, 5)}, "Identification Data"},
	})
}
