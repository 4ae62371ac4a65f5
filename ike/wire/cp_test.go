package wire

import "testing"

func TestCP(t *testing.T) {
	roundTrip(t, []roundTripCase{
		{
			"request", &CP{Kind: ConfigRequest, Attributes: []ConfigAttribute{{Type: ConfigInternalIP4Address}, {Type: ConfigInternalIP4DNS}}},
			"01 000000 0001 0000 0003 0000", "CP(CFG_REQUEST INTERNAL_IP4_ADDRESS INTERNAL_IP4_DNS)",
		},
		{
			"reply", &CP{Kind: ConfigReply, Attributes: []ConfigAttribute{{Type: ConfigInternalIP4Address, Value: []byte{10, 3, 0, 1}}}},
			"02 000000 0001 0004 0a030001", "CP(CFG_REPLY INTERNAL_IP4_ADDRESS)",
		},
		{"empty acknowledgement", &CP{Kind: ConfigAck}, "04 000000", "CP(CFG_ACK)"},
	})
	refuse(t, PayloadCP, []refusal{
		{"cut", "01 0000", "CFG Type", 4},
		{"attribute header cut", "01 000000 0001 00", "Configuration Attribute", 8},
		{"attribute longer than the payload", "01 000000 0001 0004 0a0000", "Configuration Attribute Value", 12},
		{"too many", "01 000000" + repeat("00010000", 257), "Configuration Attributes", 8 + 256*4},
	})
	refuseToWrite(t, []unwritable{
		{"type of 16 bits", &CP{Attributes: []ConfigAttribute{{Type: 0x8000}}}, "Attribute Type"},
		{"value of 64 KiB", &CP{Attributes: []ConfigAttribute{{Value: make([]byte, 1<<16)}}}, "Length"},
		{"too many", &CP{Attributes: make([]ConfigAttribute, 257)}, "Configuration Attributes"},
	})
}
