package wire

import "testing"

func TestSA(t *testing.T) {
	aes256 := Transform{Type: TransformENCR, ID: 20, KeyBits: 256}
	roundTrip(t, []roundTripCase{
		{
			"IKE proposal of a first exchange",
			&SA{Proposals: []Proposal{{Number: 1, Protocol: ProtocolIKE, Transforms: []Transform{
				aes256, {Type: TransformPRF, ID: 5}, {Type: TransformKE, ID: 31},
			}}}},
			`00 00 0024 01 01 00 03
			 03 00 000c 01 00 0014 800e 0100
			 03 00 0008 02 00 0005
			 00 00 0008 04 00 001f`,
			"SA(1 proposal)",
		},
		{
			"two ESP proposals with SPIs",
			&SA{Proposals: []Proposal{
				{Number: 1, Protocol: ProtocolESP, SPI: []byte{0xde, 0xad, 0, 1}, Transforms: []Transform{aes256, {Type: TransformESN, ID: 1}}},
				{Number: 2, Protocol: ProtocolESP, SPI: []byte{0xde, 0xad, 0, 2}, Transforms: []Transform{{Type: TransformENCR, ID: 28}}},
			}},
			`02 00 0020 01 03 04 02 dead0001
			 03 00 000c 01 00 0014 800e 0100
			 00 00 0008 05 00 0001
			 00 00 0014 02 03 04 01 dead0002
			 00 00 0008 01 00 001c`,
			"SA(2 proposals)",
		},
		{
			"rekeyed IKE SA has an SPI of 8 octets",
			&SA{Proposals: []Proposal{{Number: 1, Protocol: ProtocolIKE, SPI: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Transforms: []Transform{{Type: TransformPRF, ID: 7}}}}},
			`00 00 0018 01 01 08 01 0102030405060708
			 00 00 0008 02 00 0007`,
			"SA(1 proposal)",
		},
		{
			"other attributes stay as they are, in both formats",
			&SA{Proposals: []Proposal{{Number: 1, Protocol: ProtocolIKE, Transforms: []Transform{{
				Type: TransformENCR, ID: 12, KeyBits: 128,
				Attributes: []Attribute{{Type: 17, Short: true, Value: []byte{0, 9}}, {Type: 18, Value: []byte{1, 2, 3}}},
			}}}}},
			`00 00 001f 01 01 00 01
			 00 00 0017 01 00 000c 800e 0080 8011 0009 0012 0003 010203`,
			"SA(1 proposal)",
		},
		{
			"a key length of zero is not the same as none",
			&SA{Proposals: []Proposal{{Number: 1, Protocol: ProtocolIKE, Transforms: []Transform{{
				Type: TransformENCR, ID: 12, Attributes: []Attribute{{Type: 14, Short: true, Value: []byte{0, 0}}},
			}}}}},
			`00 00 0014 01 01 00 01 00 00 000c 01 00 000c 800e 0000`,
			"SA(1 proposal)",
		},
		{
			"proposal without transforms, which only policy refuses",
			&SA{Proposals: []Proposal{{Number: 1, Protocol: ProtocolIKE}}},
			`00 00 0008 01 01 00 00`,
			"SA(1 proposal)",
		},
	})
	refuse(t, PayloadSA, []refusal{
		{"empty", "", "Proposal", 4},
		{"proposal header cut", "00 00 0008 01 01 00", "Proposal", 4},
		{"proposal marker", "01 00 0008 01 01 00 00", "Last Substruc", 4},
		{"proposal longer than the payload", "00 00 0009 01 01 00 00", "Proposal Length", 6},
		{"proposal shorter than its header", "00 00 0007 01 01 00 00", "Proposal Length", 6},
		{"more announced than follow", "02 00 0008 01 01 00 00", "Proposal", 12},
		{"octets after the last proposal", "00 00 0008 01 01 00 00 00", "Last Substruc", 12},
		{"SPI of ESP", "00 00 0008 01 03 00 00", "SPI Size", 10},
		{"SPI of IKE", "00 00 000c 01 01 04 00 01020304", "SPI Size", 10},
		{"SPI longer than the proposal", "00 00 000a 01 03 04 00 0102", "SPI", 12},
		{"fewer transforms than counted", "00 00 0008 01 01 00 01", "Transform", 12},
		{"more transforms than counted", "00 00 0010 01 01 00 00 00 00 0008 01 00 000c", "Proposal Length", 6},
		{"transform marker", "00 00 0010 01 01 00 01 02 00 0008 01 00 000c", "Last Substruc", 12},
		{"transform marked as not the last", "00 00 0010 01 01 00 01 03 00 0008 01 00 000c", "Last Substruc", 12},
		{"transform longer than the proposal", "00 00 0010 01 01 00 01 00 00 0009 01 00 000c", "Transform Length", 14},
		{"transform shorter than its header", "00 00 0010 01 01 00 01 00 00 0007 01 00 000c", "Transform Length", 14},
		{"attribute header cut", "00 00 0013 01 01 00 01 00 00 000b 01 00 000c 800e 01", "Transform Attribute", 20},
		{"attribute longer than the transform", "00 00 0014 01 01 00 01 00 00 000c 01 00 000c 000e 0001", "Attribute Value", 24},
		{"key length twice", "00 00 0018 01 01 00 01 00 00 0010 01 00 000c 800e 0080 800e 0100", "Key Length", 24},
		{"too many attributes", "00 00 0054 01 01 00 01 00 00 004c 01 00 000c" + repeat("80110000", 17), "Transform Attributes", 84},
		{"too many proposals", repeat("0200000801010000", 129), "Proposals", 4 + 128*8},
	})
	one := []Transform{{Type: TransformENCR, ID: 12}}
	refuseToWrite(t, []unwritable{
		{"no proposal", &SA{}, "Proposals"},
		{"too many proposals", &SA{Proposals: make([]Proposal, proposalsMax+1)}, "Proposals"},
		{"too many transforms", &SA{Proposals: []Proposal{{Protocol: ProtocolIKE, Transforms: make([]Transform, 256)}}}, "Num Transforms"},
		{"ESP without SPI", &SA{Proposals: []Proposal{{Protocol: ProtocolESP, Transforms: one}}}, "SPI Size"},
		{"SPI of 256 octets", &SA{Proposals: []Proposal{{Protocol: 9, SPI: make([]byte, 256)}}}, "SPI Size"},
		{"attribute type of 16 bits", &SA{Proposals: []Proposal{{Protocol: ProtocolIKE, Transforms: []Transform{{Attributes: []Attribute{{Type: 0x8000}}}}}}}, "Attribute Type"},
		{"short attribute of 3 octets", &SA{Proposals: []Proposal{{Protocol: ProtocolIKE, Transforms: []Transform{{Attributes: []Attribute{{Short: true, Value: make([]byte, 3)}}}}}}}, "Attribute Value"},
		{"long attribute of 64 KiB", &SA{Proposals: []Proposal{{Protocol: ProtocolIKE, Transforms: []Transform{{Attributes: []Attribute{{Value: make([]byte, 1<<16)}}}}}}}, "Attribute Length"},
		{"too many attributes", &SA{Proposals: []Proposal{{Protocol: ProtocolIKE, Transforms: []Transform{{KeyBits: 1, Attributes: make([]Attribute, 16)}}}}}, "Transform Attributes"},
		{"transform of 64 KiB", &SA{Proposals: []Proposal{{Protocol: ProtocolIKE, Transforms: []Transform{{Attributes: []Attribute{{Value: make([]byte, 65530)}}}}}}}, "Transform Length"},
		{"proposal of 64 KiB", &SA{Proposals: []Proposal{{Protocol: ProtocolIKE, Transforms: []Transform{{Attributes: []Attribute{{Value: make([]byte, 65520)}}}}}}}, "Proposal Length"},
	})
}
