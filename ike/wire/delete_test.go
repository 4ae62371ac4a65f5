package wire

import "testing"

func TestDelete(t *testing.T) {
	roundTrip(t, []roundTripCase{
		{"IKE SA", &Delete{Protocol: ProtocolIKE}, "01 00 0000", "D(IKE)"},
		{"one CHILD SA", &Delete{Protocol: ProtocolESP, SPISize: 4, SPIs: [][]byte{{1, 2, 3, 4}}}, "03 04 0001 01020304", "D(ESP 1 SPI)"},
		{
			"two CHILD SAs", &Delete{Protocol: ProtocolAH, SPISize: 4, SPIs: [][]byte{{1, 2, 3, 4}, {5, 6, 7, 8}}},
			"02 04 0002 01020304 05060708", "D(AH 2 SPIs)",
		},
	})
	refuse(t, PayloadDelete, []refusal{
		{"cut", "01 00 00", "Protocol ID", 4},
		{"IKE with an SPI", "01 08 0001 0102030405060708", "SPI Size", 4},
		{"ESP with SPIs of 8 octets", "03 08 0001 0102030405060708", "SPI Size", 4},
		{"SPIs of no octets", "09 00 ffff", "Num of SPIs", 4},
		{"too many", "03 04 1001" + repeat("01020304", 0x1001), "Num of SPIs", 4},
		{"fewer than counted", "03 04 0002 01020304", "Num of SPIs", 6},
		{"more than counted", "03 04 0001 0102030405", "Num of SPIs", 6},
	})
	refuseToWrite(t, []unwritable{
		{"SPI size disagrees", &Delete{Protocol: ProtocolESP, SPISize: 4, SPIs: [][]byte{{1}}}, "SPI"},
		{"IKE with an SPI", &Delete{Protocol: ProtocolIKE, SPISize: 8, SPIs: [][]byte{make([]byte, 8)}}, "SPI Size"},
	})
}
